"""Redis backups: a snapshot by replica, sealed, read back and compared; and restores of them.

Source: seed, "Backup Strategies"; Redis manual, "Redis persistence".
"""

from datetime import datetime
from pathlib import Path

from tasks.clients import points, redis_points
from tasks.clients.manifest import StoredPoint
from tasks.clients.truth import active_site
from tasks.errors import Refused
from tasks.plan.plan import Plan
from tasks.progress import shown
from tasks.retry import retried


@retried("take a Redis snapshot", delay=10)
def take_redis_backup(plan: Plan) -> StoredPoint:
    """Store a snapshot of the active site's Redis in its bucket, from a replica where a good one is there.

    Raises:
        Transient: no server answers, or the store does not.
        Permanent: the snapshot cannot be loaded, or the store refuses.
    """
    site = active_site(plan)
    with shown("snapshot of Redis") as told:
        return redis_points.take(plan, site, redis_points.source_of(plan, site), told)


@retried("restore the Redis snapshot into a scratch server")
def verify_redis_backup(plan: Plan, point: StoredPoint) -> int:
    """Read a point back from the active site's store, load it and compare it with what was stored.

    Returns:
        the number of its keys.

    Raises:
        Permanent: it does not open, does not load, or holds other data.
        Transient: the store does not answer.
    """
    with redis_points.opened(plan, active_site(plan), point) as (_, found):
        return found.keys


@retried("restore a Redis snapshot")
def restore_redis_point(
    plan: Plan, site: str, stamp: str | None, at: datetime | None, into: Path | None
) -> str:
    """Load a point of any site in a scratch server and compare it; write the snapshot to a file where asked.

    Args:
        plan: the plan.
        site: whose bucket.
        stamp: the point's name; else the newest, not later than `at` where given.
        at: a moment with a time zone.
        into: the file, which must not exist yet: a dump.rdb for a Redis server to start from.

    Returns:
        what was restored, in words.

    Raises:
        Refused: the file exists.
        Permanent: there is no such point, or it is not what was stored.
        Transient: the store does not answer.
    """
    point = points.pick(plan, site, redis_points.ASSET, at, stamp)
    if into is None:
        with redis_points.opened(plan, site, point) as (_, found):
            return f"{point.folder} of {site}: {found.keys} keys, as stored"
    partial = into.with_name(f"{into.name}.partial")
    if into.exists():
        raise Refused(f"{into} exists", hint="name a file that does not")
    try:
        partial.touch(mode=0o600)
        with partial.open("wb") as file, redis_points.opened(plan, site, point, file) as (_, found):
            file.flush()
        partial.rename(into)
    finally:
        partial.unlink(missing_ok=True)
    return f"{point.folder} of {site}: {found.keys} keys, as stored, in {into}"
