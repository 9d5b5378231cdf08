"""The Redis servers that a snapshot is taken from: of one data set, or of every shard of a cluster."""

from dataclasses import dataclass

from tasks.clients import cache, redis_cluster
from tasks.clients.hash_slots import Slots
from tasks.errors import Transient
from tasks.plan.plan import Plan

DUMP = "dump.rdb"
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


@dataclass(frozen=True)
class Piece:
    """What one snapshot of a point is of.

    Attributes:
        name: the content that it becomes.
        slots: the shard's; none where there is no cluster.
        source: the server to take it from.
    """

    name: str
    slots: Slots
    source: Source


def pieces_of(plan: Plan, site: str) -> tuple[Piece, ...]:
    """All that a point of a site is made of: a shard each in a cluster, else one.

    Raises:
        Transient: no server answers, none can be told to be in step, or the cluster is not whole.
    """
    if plan.redis_ha.mode == "sentinel":
        return (Piece(DUMP, (), _source_of(plan, site)),)
    shards = redis_cluster.whole(plan, site).shards
    return tuple(
        Piece(f"shard-{number}.rdb", shard.slots, _closest(plan, look(plan, shard.master), shard.replicas))
        for number, shard in enumerate(shards, 1)
    )


def require_same(plan: Plan, site: str, pieces: tuple[Piece, ...]) -> None:
    """Make sure that no slot moved since the pieces were chosen: its keys would be in two, or in none.

    Raises:
        Transient: one did, or the cluster is not whole any more.
    """
    if plan.redis_ha.mode == "cluster":
        now = tuple(redis_cluster.whole(plan, site).masters)
        if now != tuple(piece.slots for piece in pieces):
            raise Transient(f"slots of the Redis cluster of {site} were moved while it was backed up")


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


def plausible(before: Source, after: Source, keys: int) -> bool:
    """Whether a snapshot taken between two looks at its source can hold so many keys."""
    if not (before.counted and after.counted):
        return True
    slack = (after.offset - before.offset) // _KEY_BYTES
    least, most = sorted((before.keys, after.keys))
    return least - slack <= keys <= most + slack


def _source_of(plan: Plan, site: str) -> Source:
    master = look(plan, cache.master_of(plan, site))
    others = (each for each in plan.sites[site].addresses("redis") if each != master.address)
    found = _closest(plan, master, tuple(others))
    if found.role != "master" and found is master:
        raise Transient(f"no Redis of {site} is a master or follows one closely", str(master.address))
    return found


def _closest(plan: Plan, master: Source, replicas: tuple[str, ...]) -> Source:
    """The replica that follows most closely, else the master."""
    fitting = []
    for address in replicas:
        try:
            fitting.append(look(plan, address, master.offset))
        except Transient:
            continue
    close = [replica for replica in fitting if replica.lag <= _LAG]
    return min(close, key=lambda replica: replica.lag, default=master)
