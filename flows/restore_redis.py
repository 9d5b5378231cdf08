"""Restore Redis from a sealed snapshot of any site."""

from datetime import datetime
from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.redis_backup import restore_redis_cluster, restore_redis_point


@flow(persist_result=False)
def restore_redis(
    from_site: str,
    at: datetime | None = None,
    point: str | None = None,
    into: Path | None = None,
    to_site: str | None = None,
) -> str:
    """Open a snapshot, load it in a scratch server, compare it, and write it where asked.

    Args:
        from_site: whose bucket.
        at: the newest one not later than this; the newest where empty.
        point: the one of this name.
        into: a file that does not exist: a dump.rdb that a Redis server starts from; of a cluster a folder
            with one for each shard.
        to_site: a site whose Redis cluster is empty, or not made yet: it is filled, and read back.

    Returns:
        what was restored, in words.
    """
    plan = current_plan()
    if to_site is not None:
        return restore_redis_cluster(plan, from_site, point, at, to_site)
    return restore_redis_point(plan, from_site, point, at, into)
