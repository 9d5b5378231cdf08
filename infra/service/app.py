"""The service's HTTP interface."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from uuid import UUID

import httpx
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from infra.service.cache import OrderCache
from infra.service.config import Config
from infra.service.health import Check, examine, status_code
from infra.service.orders import NewOrder, Order, Orders
from tasks.errors import DrError, Refused, Transient

router = APIRouter()


@dataclass(frozen=True)
class Parts:
    """What an instance is made of."""

    site: str
    orders: Orders
    cache: OrderCache
    checks: dict[str, Check]


def create_app(config: Config) -> FastAPI:
    """The application of one instance."""
    app = FastAPI(title="naas", docs_url=None, redoc_url=None, lifespan=partial(_lifespan, config))
    app.include_router(router)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(Transient, _unavailable)
    app.add_exception_handler(Refused, _conflict)
    return app


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Running = Annotated[Parts, Depends(_parts)]


@router.get("/health")
async def health(parts: Running) -> JSONResponse:
    """The seed's health check; 503 only when no order can be taken (see `status_code`)."""
    answer = await examine(parts.checks)
    return JSONResponse(answer, status_code(answer))


@router.post("/orders", status_code=201)
async def place(order: NewOrder, parts: Running) -> dict[str, str]:
    """Acknowledge an order, after its COMMIT; 503 where that is not certain."""
    await parts.orders.place(order)
    return {"id": str(order.id), "site": parts.site}


@router.get("/orders/{order_id}")
async def find(order_id: UUID, parts: Running) -> Order:
    """One order, from the cache or else from the database."""
    if cached := await parts.cache.get(order_id):
        return cached
    order = await parts.orders.find(order_id)
    if order is None:
        raise HTTPException(404, f"no order {order_id}")
    await parts.cache.put(order)
    return order


@router.get("/orders")
async def latest(parts: Running, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[Order]:
    """The latest orders, always from the database."""
    return await parts.orders.latest(limit)


@asynccontextmanager
async def _lifespan(config: Config, app: FastAPI) -> AsyncIterator[None]:
    orders, cache = Orders(config.database), OrderCache(config.redis)
    async with httpx.AsyncClient(timeout=1.5) as client:
        checks: dict[str, Check] = {"database": orders.check, "redis": cache.check}
        if config.external_api is not None:
            checks["external_api"] = partial(_check_external_api, client, config.external_api)
        app.state.parts = Parts(config.site, orders, cache, checks)
        await orders.open()
        yield
        await orders.close()
        await cache.close()


async def _check_external_api(client: httpx.AsyncClient, url: str) -> None:
    (await client.get(url)).raise_for_status()


async def _wrong(_request: Request, error: Exception) -> JSONResponse:
    # FastAPI's own answer repeats the input, and fails where that cannot be encoded (a lone surrogate).
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [{"loc": p["loc"], "msg": p["msg"]} for p in problems]}, 422)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return _problem(503, error)


async def _conflict(_request: Request, error: Exception) -> JSONResponse:
    return _problem(409, error)


def _problem(status: int, error: Exception) -> JSONResponse:
    message, detail = (error.message, error.detail) if isinstance(error, DrError) else (str(error), "")
    return JSONResponse({"detail": f"{message}: {detail}"}, status)
