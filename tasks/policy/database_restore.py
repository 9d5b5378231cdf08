"""Whether a recovery reached what its archive holds. Pure.

Source: PostgreSQL manual, "Continuous Archiving: Timelines", "pg_walfile_name".
"""

from collections.abc import Mapping
from typing import Any

from tasks.clients.walnames import parse_lsn

_SEGMENT = 16 * 2**20


def recovery_gap(info: Mapping[str, Any], end: tuple[int, str]) -> str | None:
    """What a recovery to the newest moment did not reach of the archive; None where it reached all of it.

    PostgreSQL ends a recovery without any error where a segment is missing.

    Args:
        info: the stanza, as `pgbackrest info` told it before the restore.
        end: the timeline and LSN where the recovery ended.
    """
    newest = info["archive"][-1]["max"]
    timeline, number = int(newest[:8], 16), int(newest[8:16], 16) * (2**32 // _SEGMENT) + int(newest[16:], 16)
    if (end[0], parse_lsn(end[1]) // _SEGMENT) >= (timeline, number):
        return None
    return f"its recovery ended at {end[1]} of timeline {end[0]}, the archive goes on to {newest}"
