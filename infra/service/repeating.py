"""What the service does beside its requests, for ever."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tasks.errors import Transient

_log = logging.getLogger("service")


async def repeat(act: Callable[[], Awaitable[object]], interval_s: float) -> None:
    """Do something again and again; nothing that it meets ends it, and what nobody foresaw is logged.

    Args:
        act: the thing.
        interval_s: seconds from one end to the next start.
    """
    while True:
        try:
            await act()
        except Transient:
            pass  # it is tried again
        except Exception:  # noqa: BLE001 -- it would end for good, and nobody would notice
            _log.exception("a mistake of ours; it is tried again")
        await asyncio.sleep(interval_s)
