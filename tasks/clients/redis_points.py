"""Redis as sealed points: from which server, what is proven of a snapshot, and how one is opened again.

What is provable of a snapshot of a server that is being written to. The server forks at exactly the
replication offset that it names, and its CRC-64 over all it sends is checked by a Redis that loads it while
it is stored; the number of keys and an order-independent digest of that load go into the point, sealed.
Whoever opens the point loads it again: the same number and digest mean the same data. Besides, the number
of keys is compared with the server's own, before and after: exactly where no write came between, else
within what so many bytes of writes can change. A digest of the server itself at that offset would need its
writes stopped.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tasks.clients import cache, point_contents, points
from tasks.clients.manifest import StoredPoint
from tasks.clients.rdb import Snapshot, snapshot
from tasks.clients.scratch import Dataset, Scratch, scratch
from tasks.clients.sealed_objects import Both
from tasks.clients.sealing import Writer
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

Told = Callable[[float, float], None]
ASSET = "redis"
DUMP, PROOF = "dump.rdb", "proof.json"
# A replica further behind than this, in bytes, is not what a backup is taken from.
_LAG = 1024 * 1024
# No key comes or goes for less in the replication stream: "$1", the key, line ends.
_KEY_BYTES = 7
_AOF = ("aof_enabled", "aof_current_size", "aof_base_size", "aof_last_write_status")


@dataclass(frozen=True)
class Source:
    """A Redis server as a source of snapshots.

    Attributes:
        address: where it is.
        role: "master" or "slave", Redis's own words.
        keys: how many it holds, in all databases.
        offset: its replication offset in bytes; grows with every write, where `counted`.
        counted: whether the offset grows; a master that never had a replica does not count.
        lag: how many bytes it is behind its master.
        aof: the state of its append-only file.
    """

    address: str
    role: str
    keys: int
    offset: int
    counted: bool
    lag: int
    aof: dict[str, str]


def source_of(plan: Plan, site: str) -> Source:
    """The server of a site to take a snapshot from: a replica that follows closely, else the master.

    Raises:
        Transient: no server of the site answers, or none can be told to be in step.
    """
    master = look(plan, cache.master_of(plan, site))
    replicas = []
    for address in plan.sites[site].addresses("redis"):
        if address != master.address:
            replicas += _follower(plan, address, master)
    fitting = [replica for replica in replicas if replica.lag <= _LAG]
    if not fitting and master.role != "master":
        raise Transient(f"no Redis of {site} is a master or follows one closely", str(master.address))
    return min(fitting, key=lambda replica: replica.lag, default=master)


def look(plan: Plan, address: str, master_offset: int | None = None) -> Source:
    """A server as it is now.

    Raises:
        Transient: it does not answer, or it has lost its master.
    """
    told = cache.info(plan, address)
    if told["role"] != "master" and told["master_link_status"] != "up":
        raise Transient(f"Redis at {address} has lost its master")
    offset = int(told["master_repl_offset"])
    return Source(
        address=address,
        role=str(told["role"]),
        keys=sum(value["keys"] for name, value in told.items() if name.startswith("db") and "keys" in value),
        offset=offset,
        counted=bool(told["repl_backlog_active"]),
        lag=max(0, master_offset - offset) if master_offset is not None else 0,
        aof={name: str(told.get(name, "")) for name in _AOF},
    )


def take(plan: Plan, site: str, source: Source, told: Told) -> StoredPoint:
    """Take a snapshot of a server, load it and store it in a site's bucket, all in one pass.

    Args:
        plan: the plan.
        site: whose bucket.
        source: the server.
        told: called with the bytes of the snapshot so far, and as many as the last one had.

    Raises:
        Transient: the server or the store does not answer, or writes outran the count of keys.
        Permanent: the snapshot cannot be loaded, or the store refuses.
    """
    facts: dict[str, str] = {}
    with snapshot(plan, source.address) as taken, scratch(_timeout(plan)) as server:
        last = _last_size(plan, site)
        fed = _fed(taken, server, lambda done: told(done, max(done, last)))
        contents = {
            DUMP: fed,
            PROOF: _proof(plan, source, taken, server, facts),
        }
        return points.store(plan, site, ASSET, datetime.now(UTC), contents, facts)


@contextmanager
def opened(
    plan: Plan, site: str, point: StoredPoint, also: Writer | None = None
) -> Iterator[tuple[Scratch, Dataset]]:
    """A scratch server with a point's data, proven: opened with the recovery key, loaded, and compared.

    Args:
        plan: the plan.
        site: whose bucket.
        point: one of Redis.
        also: takes the snapshot as well, to be dropped when this raises.

    Raises:
        Permanent: it does not open, does not load, or holds other data than was stored.
        Transient: the store does not answer, or the time is over.
    """
    expected = Dataset(**json.loads(point_contents.open_point(plan, site, point, PROOF)))
    with scratch(_timeout(plan)) as server:
        point_contents.open_into(plan, site, point, DUMP, Both(server, also) if also else server)
        found = server.loaded()
        if found != expected:
            raise Permanent(
                f"{point.folder} at {site} holds other data than was stored",
                f"{found.keys} keys, digest {found.digest}; stored {expected.keys}, {expected.digest}",
            )
        yield server, found


def plausible(before: Source, after: Source, keys: int) -> bool:
    """Whether a snapshot taken between two looks at its source can hold so many keys."""
    if not (before.counted and after.counted):
        return True
    slack = (after.offset - before.offset) // _KEY_BYTES
    least, most = sorted((before.keys, after.keys))
    return least - slack <= keys <= most + slack


def _follower(plan: Plan, address: str, master: Source) -> list[Source]:
    try:
        return [look(plan, address, master.offset)]
    except Transient:
        return []


def _last_size(plan: Plan, site: str) -> int:
    stored = points.stored(plan, site, ASSET)
    return stored[-1].size if stored else 0


def _fed(taken: Snapshot, server: Scratch, told: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for piece in taken.pieces:
        server.write(piece)
        done += len(piece)
        told(done)
        yield piece


def _proof(
    plan: Plan, source: Source, taken: Snapshot, server: Scratch, facts: dict[str, str]
) -> Iterator[bytes]:
    """What was loaded, sealed as a content of the point; called when the whole snapshot has passed."""
    found, after = server.loaded(), look(plan, source.address)
    if not plausible(source, after, found.keys):
        counts = f"{source.keys} keys before, {found.keys} in the snapshot, {after.keys} after"
        raise Transient("the snapshot has not as many keys as its source", counts)
    facts |= {
        "source": source.address,
        "role": source.role,
        "replid": taken.replid,
        "offset": str(taken.offset),
        "lag_bytes": str(source.lag),
        "keys": str(found.keys),
        **source.aof,
    }
    yield json.dumps(asdict(found)).encode()


def _timeout(plan: Plan) -> float:
    """Seconds to load one: the longest that a recovery may take at all."""
    return plan.tier.rto.total_seconds()
