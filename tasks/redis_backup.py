"""Redis backups: a snapshot by replica, sealed, read back and compared; and restores of them.

Of a Redis cluster a point is a snapshot of every shard; see `tasks.clients.redis_points` for what that means.
Source: seed, "Backup Strategies"; Redis manual, "Redis persistence".
"""

import shutil
from datetime import datetime
from pathlib import Path

from tasks.clients import points, redis_fill, redis_points
from tasks.clients.manifest import StoredPoint
from tasks.clients.redis_points import Part
from tasks.clients.truth import active_site
from tasks.errors import Refused
from tasks.plan.plan import Plan
from tasks.progress import shown
from tasks.retry import retried


@retried("take a Redis snapshot", delay=10)
def take_redis_backup(plan: Plan) -> StoredPoint:
    """Store a snapshot of the active site's Redis in its bucket, from replicas where good ones are there.

    Raises:
        Transient: no server answers, a cluster is not whole, or the store does not answer.
        Permanent: the snapshot cannot be loaded, or the store refuses.
    """
    with shown("snapshot of Redis") as told:
        return redis_points.take(plan, active_site(plan), told)


@retried("restore the Redis snapshot into a scratch server")
def verify_redis_backup(plan: Plan, point: StoredPoint) -> int:
    """Read a point back from the active site's store, load it and compare it with what was stored.

    Returns:
        the number of its keys.

    Raises:
        Permanent: it does not open, does not load, or holds other data.
        Transient: the store does not answer.
    """
    return _loaded(plan, active_site(plan), point)


@retried("restore a Redis snapshot")
def restore_redis_point(
    plan: Plan, site: str, stamp: str | None, at: datetime | None, into: Path | None
) -> str:
    """Load a point of any site in a scratch server and compare it; write it to a file or folder where asked.

    Args:
        plan: the plan.
        site: whose bucket.
        stamp: the point's name; else the newest, not later than `at` where given.
        at: a moment with a time zone.
        into: what must not exist yet: a dump.rdb for a Redis server to start from, of a cluster a folder with
            one for each shard.

    Returns:
        what was restored, in words.

    Raises:
        Refused: the file or folder exists.
        Permanent: there is no such point, or it is not what was stored.
        Transient: the store does not answer.
    """
    point = points.pick(plan, site, redis_points.ASSET, at, stamp)
    if into is None:
        return f"{point.folder} of {site}: {_loaded(plan, site, point)} keys, as stored"
    if into.exists():
        raise Refused(f"{into} exists", hint="name one that does not")
    parts = redis_points.parts(plan, site, point)
    if len(parts) == 1:
        _write(plan, site, point, parts[0], into)
    else:
        _write_all(plan, site, point, parts, into)
    keys = sum(part.data.keys for part in parts)
    return f"{point.folder} of {site}: {keys} keys, as stored, in {into}"


@retried("restore Redis into a cluster")
def restore_redis_cluster(plan: Plan, site: str, stamp: str | None, at: datetime | None, to_site: str) -> str:
    """Fill a site's empty Redis cluster from a point of any site; it is made where its nodes are alone.

    Args:
        plan: the plan.
        site: whose bucket.
        stamp: the point's name; else the newest, not later than `at` where given.
        at: a moment with a time zone.
        to_site: whose cluster; nothing else may write to it meanwhile.

    Returns:
        what was restored, in words.

    Raises:
        Refused: the plan has no cluster, no such site, or it holds keys.
        Permanent: there is no such point, it is not what was stored, or the cluster holds something else.
        Transient: the store or a node does not answer.
    """
    if plan.redis_ha.mode != "cluster":
        hint = "start a server from the file that `into` names; it replaces what the server held"
        raise Refused("the plan's Redis is no cluster", hint=hint)
    able = [name for name, each in plan.sites.items() if each.running("redis")]
    if to_site not in able:
        raise Refused(f"{to_site} has no Redis", f"sites with one: {', '.join(able)}")
    point = points.pick(plan, site, redis_points.ASSET, at, stamp)
    found = redis_fill.fill(plan, to_site, site, point)
    return f"{point.folder} of {site}: {found.keys} keys live in the cluster of {to_site}"


def _loaded(plan: Plan, site: str, point: StoredPoint) -> int:
    parts = redis_points.parts(plan, site, point)
    for part in parts:
        with redis_points.opened(plan, site, point, part):
            pass
    return sum(part.data.keys for part in parts)


def _write_all(plan: Plan, site: str, point: StoredPoint, parts: tuple[Part, ...], into: Path) -> None:
    """A folder that is there when all of it is."""
    partial = into.with_name(f"{into.name}.partial")
    partial.mkdir(mode=0o700)
    try:
        for part in parts:
            _write(plan, site, point, part, partial / part.name)
        partial.rename(into)
    except BaseException:
        shutil.rmtree(partial)
        raise


def _write(plan: Plan, site: str, point: StoredPoint, part: Part, into: Path) -> None:
    """A file that is there when all of it is."""
    partial = into.with_name(f"{into.name}.partial")
    try:
        partial.touch(mode=0o600)
        with partial.open("wb") as file, redis_points.opened(plan, site, point, part, file):
            file.flush()
        partial.rename(into)
    finally:
        partial.unlink(missing_ok=True)
