"""Feature flags: read from Redis once a second beside the requests, which find them in memory."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.service.redis_master import RedisMaster
from infra.service.repeating import repeat
from tasks.clients.flag_settings import KEY, FlagSetting, parsed

READ_ONLY = "read_only"
SHED_LOW_PRIORITY = "shed_low_priority"
DEFER_NOTES = "defer_notes"

# Seconds. A Redis that hesitates is not gone: the last answer counts for a while.
_INTERVAL = 1.0
_REMEMBERED = 3.0


class Flags:
    """The flags as they stand; the plan's defaults where Redis does not answer for 3 s."""

    def __init__(self, master: RedisMaster, defaults: Mapping[str, bool]) -> None:
        self._master, self._defaults = master, defaults
        self._kept: dict[str, FlagSetting] = {}
        self._read_at = float("-inf")

    def on(self, name: str) -> bool:
        """Whether a flag is on; one that nobody has ever heard of is off."""
        setting = self._kept.get(name) if time.monotonic() - self._read_at < _REMEMBERED else None
        if setting and setting.holds(datetime.now(UTC)):
            return setting.on
        return self._defaults.get(name, False)

    async def follow(self) -> None:
        """Read them for ever."""
        await repeat(self._read, _INTERVAL)  # where they cannot be read, the defaults count after a while

    async def _read(self) -> None:
        async with self._master.asked() as master:
            found: dict[Any, Any] = await master.hgetall(KEY)
        settings = {name.decode(errors="replace"): parsed(text) for name, text in found.items()}
        self._kept = {name: setting for name, setting in settings.items() if setting}
        self._read_at = time.monotonic()
