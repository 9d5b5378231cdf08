"""Restore Redis from a sealed snapshot of any site."""

from datetime import datetime
from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.redis_backup import restore_redis_point


@flow(persist_result=False)
def restore_redis(
    from_site: str, at: datetime | None = None, point: str | None = None, into: Path | None = None
) -> str:
    """Open a snapshot, load it in a scratch server, compare it, and write it to a file where asked.

    Args:
        from_site: whose bucket.
        at: the newest one not later than this; the newest where empty.
        point: the one of this name.
        into: a file that does not exist: a dump.rdb that a Redis server starts from.

    Returns:
        what was restored, in words.
    """
    return restore_redis_point(current_plan(), from_site, point, at, into)
