"""The door for notices from outside that a site is lost: `POST /notices/FORMAT` starts the flow `respond`.

Whoever knows the token `secrets.notices_token` is heard: as a bearer token, or as the password of HTTP's
basic authentication (the user's name is not looked at), which is all that SNS and Google's channels can send.
TLS is a proxy's job. 2xx is answered after the run was started, or where nothing is asked for; on 503 the
sender comes again, and the same notice is the same run.
"""

import asyncio
import base64
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from deployments.ending import told_by
from deployments.notice_formats import FORMATS
from deployments.notice_formats.notice import Notice, admitted, words
from deployments.telemetry import written
from deployments.trigger import Api, trigger
from infra.platform.metrics import NOTICES_PORT
from tasks.clients.telemetry.lines import told
from tasks.current import current_plan
from tasks.errors import DrError, Refused
from tasks.plan.plan import Plan

RESPOND = "respond"
LARGEST = 256 * 1024
# So many notices at once, and then one in so many seconds.
BURST, EVERY_S = 20, 3.0
_BODY_S = 10.0
# How long Prefect is asked again before the sender is told to come again; EventBridge waits 5 s.
_TRIGGER_S = 2.0
# SNS says text/plain.
_MEDIA = frozenset({"application/json", "text/plain"})

_log = logging.getLogger("dr.notices")
_security = logging.getLogger("dr.security")
router = APIRouter()


class Allowance:
    """So many at once, then one again in every so many seconds."""

    def __init__(
        self, burst: int = BURST, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._every_s, self._clock = burst, every_s, clock
        self._left, self._at = float(burst), clock()

    def take(self) -> bool:
        """Take one; whether there was one left."""
        now = self._clock()
        self._left = min(float(self._burst), self._left + (now - self._at) / self._every_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True)
class Door:
    """What an instance knows."""

    plan: Plan
    token: str = field(repr=False)
    api: Api
    allowance: Allowance = field(default_factory=Allowance)
    # Whoever guesses tokens fills no disk.
    complaints: Allowance = field(default_factory=Allowance)

    def respond(self, source: str, body: Any) -> list[dict[str, str]]:
        """Start what a body asks for; nothing where it asks for nothing.

        Raises:
            Refused: it is not understood, or too old, or names a site that the plan does not have.
            DrError: Prefect does not answer, or refuses.
        """
        notices = admitted(FORMATS[source](body, self.plan), datetime.now(UTC))
        return [{"site": notice.site, **self._start(notice)} for notice in notices]

    def _start(self, notice: Notice) -> dict[str, str]:
        parameters = {
            "reason": notice.reason,
            "detected_at": notice.detected_at.isoformat() if notice.detected_at else None,
            "source": "external_notification",
            "site": notice.site,
            "evidence": notice.evidence,
        }
        key = notice.idempotency_key
        run = trigger(self.api, RESPOND, parameters, key, timeout=_TRIGGER_S)
        _log.info("%s: run %s for %s", key, run, notice.site)
        return {"flow_run_id": run, "idempotency_key": key}


def create_app(door: Door) -> FastAPI:
    """The application of one instance."""
    app = FastAPI(title="naas-dr notices", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.door = door
    app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(DrError, _unavailable)
    return app


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


@router.post("/notices/{source}")
async def take(source: str, request: Request, door: Annotated[Door, Depends(_door)]) -> JSONResponse:
    """Take one notice: 202 with the runs it started, 200 where it asks for nothing."""
    if not _knows(request.headers.get("authorization", ""), door.token):
        if door.complaints.take():
            sender = request.client.host if request.client else "nobody"
            _security.warning("a wrong token from %s", sender, extra=told("take a notice", "failure"))
        raise HTTPException(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
    if source not in FORMATS:
        raise HTTPException(404, f"no such format; there are {', '.join(FORMATS)}")
    if not door.allowance.take():
        raise HTTPException(429, "too many notices", {"Retry-After": str(int(EVERY_S))})
    body = _parsed(await _body(request))
    runs = await run_in_threadpool(door.respond, source, body)
    if not runs:
        return JSONResponse({"runs": [], "detail": "understood: nothing is asked for"})
    return JSONResponse({"runs": runs}, 202)


def _knows(header: str, token: str) -> bool:
    kind, _, given = header.partition(" ")
    if kind.lower() == "basic":
        given = _password(given)
    elif kind.lower() != "bearer":
        return False
    return secrets.compare_digest(given.strip().encode(), token.encode())


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


async def _body(request: Request) -> bytes:
    """The body, no more than LARGEST bytes of it, in _BODY_S seconds."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _MEDIA:
        raise HTTPException(415, f"a notice is JSON: {' or '.join(sorted(_MEDIA))}")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST:
                    raise HTTPException(413, f"a notice has {LARGEST} bytes at most", {"Connection": "close"})
    except TimeoutError:
        raise HTTPException(408, "the notice did not arrive in time", {"Connection": "close"}) from None
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("the notice is not JSON", hint="see the format's own documentation") from None


async def _refused(request: Request, error: Exception) -> JSONResponse:
    told = words(str(error), 1000)
    _log.warning("%s: refused: %s", request.url.path, told)
    return JSONResponse({"detail": told}, 422)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    # Whatever keeps the run from starting is ours to mend; the sender only learns to come again.
    _log.error("%s: not started: %s", request.url.path, error)
    return JSONResponse({"detail": "the run cannot be started now; send it again"}, 503, {"Retry-After": "5"})


def open_door() -> Door:
    """What this process's environment and its plan say.

    Raises:
        Refused: the plan names no token, or no Prefect API is named.
        Permanent: the token cannot be read.
    """
    plan = current_plan()
    if plan.secrets.notices_token is None:
        raise Refused(
            "notices from outside are not taken", "the plan names no secrets.notices_token", "name one there"
        )
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        raise Refused("no Prefect API is given", hint="set PREFECT_API_URL")
    api = Api(url, os.environ.get("PREFECT_API_AUTH_STRING", ""))
    return Door(plan, plan.secret("notices_token"), api)


@told_by("notices")
def main() -> None:
    """Serve the plan's control host until the process is ended; exit code 2 where it must not."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    _log.setLevel(logging.INFO)
    door = open_door()
    site = door.plan.site_of("dr")
    with written("notices", door.plan, site):
        uvicorn.run(
            create_app(door),
            host=door.plan.sites[site].addresses("control")[0],
            port=NOTICES_PORT,
            access_log=False,
            log_level="warning",
            server_header=False,
            ws="none",
            limit_concurrency=64,
            timeout_graceful_shutdown=5,
        )


if __name__ == "__main__":
    main()
