"""Prefect's server tells at once that it has scheduled a run; whoever is not told finds it by asking."""

import asyncio
import threading
from collections.abc import Callable

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.logging import get_logger

_SCHEDULED = EventFilter(event=EventNameFilter(name=["prefect.flow-run.Scheduled"]))
_RETRY_S = 1.0
_logger = get_logger("scheduled")


def listen(ring: Callable[[], None]) -> None:
    """Call `ring` whenever the server schedules a run; a thread does, as long as this process lives."""
    threading.Thread(target=lambda: asyncio.run(_listen(ring)), name="scheduled", daemon=True).start()


async def _listen(ring: Callable[[], None]) -> None:
    while True:
        try:
            async with get_events_subscriber(filter=_SCHEDULED, reconnection_attempts=0) as events:
                async for _ in events:
                    ring()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the runs are found without it
            _logger.debug("the server's events do not arrive: %r", error)
        await asyncio.sleep(_RETRY_S)
