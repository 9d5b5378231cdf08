"""The service's HTTP interface.

What becomes of it in trouble: reads are served from a cache, marked as possibly stale; requests of low
priority are refused first; notes wait in a queue; orders are kept before they are acknowledged, or refused.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.responses import JSONResponse

from infra.service.admission import Priority
from infra.service.answers import add_answers, later
from infra.service.config import Config
from infra.service.flags import READ_ONLY
from infra.service.health import examine, status_code
from infra.service.notes import NewNote, Note
from infra.service.orders import NewOrder, Order
from infra.service.parts import Parts, Running, lifespan
from tasks.errors import Transient

_STALE = "X-Possibly-Stale"
# Seconds; people set the service read-only, and people take it back.
_READ_ONLY_S = 30

router = APIRouter()


def create_app(config: Config) -> FastAPI:
    """The application of one instance."""
    app = FastAPI(title="naas", docs_url=None, redoc_url=None, lifespan=partial(lifespan, config))
    app.include_router(router)
    add_answers(app)
    return app


def _of(usual: Priority) -> Any:
    """Admit requests of a route: of this priority, unless they say another one themselves."""

    async def admit(
        parts: Running, x_request_priority: Annotated[Priority | None, Header()] = None
    ) -> AsyncIterator[None]:
        with parts.admission.admitted(x_request_priority or usual):
            yield

    return Depends(admit)


@router.get("/health")
async def health(parts: Running) -> JSONResponse:
    """The seed's health check; 503 only when no order can be taken (see `status_code`)."""
    answer = await examine(parts.checks)
    return JSONResponse(answer, status_code(answer))


@router.post("/orders", status_code=201, dependencies=[_of("critical")])
async def place(order: NewOrder, parts: Running) -> dict[str, str]:
    """Acknowledge an order, after its COMMIT; 503 where that is not certain."""
    if parts.flags.on(READ_ONLY):
        raise later("read-only: orders are not taken for now", _READ_ONLY_S)
    await parts.orders.place(order)
    return {"id": str(order.id), "site": parts.site}


@router.get("/orders/{order_id}", dependencies=[_of("normal")])
async def find(order_id: UUID, parts: Running, response: Response) -> Order:
    """One order, from the cache or else from the database; without it, from what is at hand."""
    order = await parts.cache.get(order_id)
    if order is None:
        order = await _read(parts, order_id)
    if parts.database.away:
        response.headers[_STALE] = "the database is away"
    return order


@router.get("/orders", dependencies=[_of("low")])
async def latest(parts: Running, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[Order]:
    """The latest orders, always from the database."""
    return await parts.orders.latest(limit)


@router.post("/orders/{order_id}/notes", dependencies=[_of("normal")])
async def annotate(order_id: UUID, note: NewNote, parts: Running) -> JSONResponse:
    """Accept a note: 201 once it is in the database, 202 once it is in the queue for it."""
    state = await parts.note_taking.take(Note.accepted(order_id, note))
    answer = {"id": str(note.id), "site": parts.site, "state": state}
    return JSONResponse(answer, 201 if state == "written" else 202)


@router.get("/orders/{order_id}/notes", dependencies=[_of("low")])
async def notes(order_id: UUID, parts: Running) -> list[Note]:
    """The notes on an order; those that wait are not among them yet."""
    return await parts.notes.of_order(order_id)


async def _read(parts: Parts, order_id: UUID) -> Order:
    try:
        order = await parts.orders.find(order_id)
    except Transient:
        if at_hand := parts.cache.at_hand(order_id):
            return at_hand
        raise
    if order is None:
        raise HTTPException(404, f"no order {order_id}")
    await parts.cache.put(order)
    return order
