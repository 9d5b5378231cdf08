"""An open-loop load: orders are sent at a steady rate, whatever becomes of the earlier ones."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx

from infra.load.ledger import Acknowledged, Attempt, LedgerWriter, Unacknowledged

# Seconds an order may take, from its first byte to the answer.
TIMEOUT = 2.0


@dataclass(frozen=True)
class Settings:
    """What to send, and where.

    Attributes:
        url: the public endpoint.
        ledger: where every attempt is written down.
        rate: orders a second.
        workers: connections kept open between orders.
        seconds: when to stop; None is when told.
    """

    url: str
    ledger: Path
    rate: float
    workers: int
    seconds: float | None = None

    @property
    def in_flight(self) -> int:
        """How many orders may be unanswered at once: as many as a dead endpoint holds until they time out.

        A smaller bound would slow the load down in an outage, and its end would be seen late.
        """
        return max(self.workers, int(self.rate * TIMEOUT) + 1)


async def generate(settings: Settings) -> None:
    """Send orders until the time is over or SIGTERM or SIGINT arrives, then wait for the last answers."""
    stopped = _stopped_by_signals()
    limits = httpx.Limits(
        max_connections=settings.in_flight, max_keepalive_connections=settings.workers, keepalive_expiry=30
    )
    with LedgerWriter(settings.ledger) as ledger:
        async with (
            httpx.AsyncClient(
                base_url=settings.url, timeout=TIMEOUT, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            await _send_steadily(settings, stopped, lambda: group.create_task(_send(client, ledger)))


async def _send_steadily(
    settings: Settings, stopped: asyncio.Event, send: Callable[[], asyncio.Task[None]]
) -> None:
    in_flight: set[asyncio.Task[None]] = set()
    start, sent = time.monotonic(), 0
    while settings.seconds is None or sent < settings.rate * settings.seconds:
        if await _stopped_before(stopped, start + sent / settings.rate):
            return
        sent += 1
        if len(in_flight) < settings.in_flight:
            task = send()
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)


async def _stopped_before(stopped: asyncio.Event, moment: float) -> bool:
    """Wait until a moment of the monotonic clock, or less long."""
    try:
        async with asyncio.timeout(max(0.0, moment - time.monotonic())):
            await stopped.wait()
    except TimeoutError:
        return False
    return True


async def _send(client: httpx.AsyncClient, ledger: LedgerWriter) -> None:
    ledger.append(await _attempt(client, str(uuid4())))


async def _attempt(client: httpx.AsyncClient, order_id: str) -> Attempt:
    sent_at = time.time()
    order = {"id": order_id, "item": "load", "quantity": 1}
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await client.post("/orders", json=order)
        if answer.status_code == httpx.codes.CREATED:
            return Acknowledged(order_id, sent_at, time.time(), str(answer.json()["site"]))
        error = f"{answer.status_code} {answer.text[:200]}"
    except (httpx.HTTPError, TimeoutError, ValueError, KeyError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Unacknowledged(order_id, sent_at, time.time(), error)


def _stopped_by_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
