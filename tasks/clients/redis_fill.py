"""A site's empty Redis filled from a point of any shape; a cluster is proven to hold the same.

A point of three shards goes into a cluster of any distribution of slots, and so does a single server's. The
proof is over every key, its value and when it expires, so it does not depend on the shape: the masters are
read back as a backup reads them, and compared with the point as far as nothing has expired.
Source: Redis manual, "RESTORE", "DEBUG DIGEST-VALUE", "PEXPIRETIME".
"""

import hashlib
import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import redis
from redis.cluster import RedisCluster

from tasks.clients import cache, redis_cluster, redis_points
from tasks.clients.manifest import StoredPoint
from tasks.clients.rdb import snapshot
from tasks.clients.redis_points import require_at_home
from tasks.clients.scratch import Dataset, scratch
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

_BATCH = 500
# Names the point of a restore that has not ended yet, in that Redis itself.
_MARK = b"naas-dr:restoring"
_NEVER, _GONE = -1, -2


class Entry(NamedTuple):
    """One key: the digest of its value, and its expiry in milliseconds since the epoch, -1 where never."""

    key: bytes
    digest: bytes
    expires_ms: int


class Fingerprint:
    """Keys, values and expiries in no order: a sum for each second, so that what expires can be left out."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, int]] = {}

    def add(self, entry: Entry) -> None:
        """Count one key."""
        second = entry.expires_ms // 1000 if entry.expires_ms != _NEVER else _NEVER
        text = b"%d:%b %b %d" % (len(entry.key), *entry)
        keys, total = self._sums.get(second, (0, 0))
        self._sums[second] = keys + 1, total ^ int.from_bytes(hashlib.sha256(text).digest(), "big")

    def living(self, moment: float) -> Dataset:
        """What outlives a moment, in seconds since the epoch, by a second at least."""
        alive = [each for second, each in self._sums.items() if second == _NEVER or second > moment + 1]
        total = 0
        for _, each in alive:
            total ^= each
        return Dataset(sum(keys for keys, _ in alive), f"{total:064x}")


def held(plan: Plan, site: str) -> int:
    """How many keys a site's cluster holds; none while a restore into it has not ended.

    The cluster is made first where its nodes are alone.

    Raises:
        Transient: a node does not answer, or the cluster is not whole.
        Permanent: see `redis_cluster.create`.
    """
    masters = redis_cluster.ensure(plan, site).masters.values()
    with redis_cluster.client(plan, site) as cluster:
        return 0 if cluster.exists(_MARK) else sum(cache.keys(plan, each) for each in masters)


def held_by_master(plan: Plan, master: str) -> int:
    """How many keys a site's master holds; none while a restore into it has not ended.

    Raises:
        Transient: it does not answer.
    """
    with cache.opened(plan, master) as server:
        ended = not server.exists(_MARK)
    return cache.keys(plan, master) if ended else 0


def fill_master(plan: Plan, master: str, source: str, point: StoredPoint) -> int:
    """Copy every key of a point that a site's master does not have; what was cut off is done again.

    Returns:
        how many keys the point has.

    Raises:
        Refused: a restore of another point into it has not ended.
        Permanent: the point is not what was stored.
        Transient: the master or the store does not answer.
    """
    parts = redis_points.parts(plan, source, point)
    with cache.opened(plan, master, text=False) as target:
        _mark(target, point)
    for part in parts:
        with redis_points.opened(plan, source, point, part) as (server, _):
            server.promote()
            with server.client() as opened:
                cache.fill(plan, master, opened)
    with cache.opened(plan, master) as target:
        target.delete(_MARK)
    return sum(part.data.keys for part in parts)


def fill(plan: Plan, site: str, source: str, point: StoredPoint) -> Dataset:
    """Copy every key of a point, with its expiry, into a site's empty cluster and prove that it holds them.

    What was cut off is done again from its beginning.

    Args:
        plan: the plan.
        site: whose cluster; nothing else may write to it until this returns.
        source: whose bucket the point is read from.
        point: one of Redis, of a cluster or of a single server.

    Returns:
        what lives there now.

    Raises:
        Refused: the cluster holds keys, or those of another restore that has not ended.
        Permanent: the point is not what was stored, or the cluster holds something else afterwards.
        Transient: a node or the store does not answer.
    """
    if keys := held(plan, site):
        raise Refused(f"the Redis of {site} holds {keys} keys", hint="a point is restored into an empty one")
    wanted = Fingerprint()
    with redis_cluster.client(plan, site) as target:
        _mark(target, point)
        for part in redis_points.parts(plan, source, point):
            with redis_points.opened(plan, source, point, part) as (server, _), server.client() as opened:
                _require_one_database(opened, point)
                _copy(opened, target, wanted)
    found = _read_back(plan, site)
    moment = time.time()
    if (living := found.living(moment)) != (stored := wanted.living(moment)):
        raise Permanent(
            f"the Redis of {site} holds other data than {point.folder}",
            f"{living.keys} keys that live on, digest {living.digest}; stored {stored.keys}, {stored.digest}",
        )
    with redis_cluster.client(plan, site) as target:
        target.delete(_MARK)
    return living


def entries(client: "redis.Redis") -> Iterator[list[Entry]]:
    """All that has not expired, in batches; the server must allow DEBUG."""
    keys = client.scan_iter(count=_BATCH)
    while batch := list(islice(keys, _BATCH)):
        pipe = client.pipeline(transaction=False)
        pipe.execute_command("DEBUG", "DIGEST-VALUE", *batch)  # type: ignore[no-untyped-call]
        for key in batch:
            pipe.pexpiretime(key)
        digests, *expiries = pipe.execute()
        found = map(Entry, batch, digests, expiries)
        yield [entry for entry in found if entry.expires_ms != _GONE]


def _mark(target: "redis.Redis | RedisCluster", point: StoredPoint) -> None:
    begun = target.set(_MARK, point.folder, nx=True, get=True)
    if begun not in {None, point.folder.encode()}:
        raise Refused(f"{begun!r} is being restored there", hint="restore that one, or empty that Redis")


def _copy(source: "redis.Redis", target: RedisCluster, wanted: Fingerprint) -> None:
    for batch in entries(source):
        dumped = source.pipeline(transaction=False)
        restored = target.pipeline()  # type: ignore[no-untyped-call]
        for entry in batch:
            dumped.dump(entry.key)
        for entry, value in zip(batch, dumped.execute(), strict=True):
            if value is not None:  # its life ended meanwhile
                wanted.add(entry)
                restored.restore(entry.key, max(entry.expires_ms, 0), value, absttl=True, replace=True)
        restored.execute()


def _read_back(plan: Plan, site: str) -> Fingerprint:
    found = Fingerprint()
    for slots, master in redis_cluster.whole(plan, site).masters.items():
        with snapshot(plan, master) as arriving, scratch(plan.tier.rto.total_seconds()) as server:
            for chunk in arriving.pieces:
                server.write(chunk)
            server.loaded()
            require_at_home(server, master, slots)
            with server.client() as client:
                for batch in entries(client):
                    for entry in batch:
                        if entry.key != _MARK:
                            found.add(entry)
    return found


def _require_one_database(source: "redis.Redis", point: StoredPoint) -> None:
    if others := sorted(source.info("keyspace").keys() - {"db0"}):
        raise Permanent(f"{point.folder} holds {', '.join(others)}", "a cluster has db0 only")
