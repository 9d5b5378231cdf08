"""High availability of Redis: how it fails over, what it keeps on disk, what it does with its memory.

The seed names these four things ("Redis High Availability") and writes no block for them; this one stands
beside its own. Source: Redis manual, "High availability with Redis Sentinel", "Scale with Redis Cluster",
"Redis persistence", "Key eviction".
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.values import Duration, Flag, Integer, Size

MASTERS = 3
"""A cluster elects by the majority of its masters: fewer than three have none once one is lost."""

_FSYNC: Mapping[str, str] = {"every second": "everysec", "every write": "always"}


class Snapshots(Block):
    """An RDB file is written once `changes` came within `within`."""

    within: Duration
    changes: Annotated[Integer, Field(ge=1)]


class Persistence(Block):
    """What a node that was killed has on its disk: the newest RDB, and the AOF with everything since.

    `append` is how often the AOF is made durable: "every second" loses a second of one node's writes at most,
    "every write" none.
    """

    append: Literal["every second", "every write"] = "every second"
    snapshots: Annotated[tuple[Snapshots, ...], Field(min_length=1)] = (
        Snapshots(within=timedelta(minutes=15), changes=1),
        Snapshots(within=timedelta(minutes=5), changes=10),
        Snapshots(within=timedelta(minutes=1), changes=10_000),
    )

    @property
    def appendfsync(self) -> str:
        """Redis's word for `append`."""
        return _FSYNC[self.append]

    @property
    def save(self) -> str:
        """Redis's words for `snapshots`."""
        return " ".join(f"{int(each.within.total_seconds())} {each.changes}" for each in self.snapshots)


class Memory(Block):
    """How much a node may hold, and what goes when that is reached.

    A policy `volatile-...` evicts keys that have an expiry; what has none (a queue, a flag, a lock) stays,
    and a write that finds nothing to evict is refused. `allkeys-...` evicts whatever it likes, so it needs
    the word that nothing here must stay: `cache_only`. Without a `limit` a node grows as far as its host.
    """

    limit: Size | None = 256 * 1024 * 1024
    eviction: Literal[
        "noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random",
        "allkeys-lru", "allkeys-lfu", "allkeys-random",
    ] = "volatile-lru"  # fmt: skip
    cache_only: Flag = False


class RedisCluster(Block):
    """How a site's cluster is laid out; used in the mode "cluster".

    With `full_coverage` a cluster that lost a whole shard takes no writes at all, rather than some.
    """

    replicas: Annotated[Integer, Field(ge=1, le=5)] = 1
    full_coverage: Flag = True

    @property
    def nodes(self) -> int:
        """How many hosts it takes at least."""
        return MASTERS * (1 + self.replicas)


class RedisHa(Block):
    """Seed, "Redis High Availability".

    `down_after` is the silence after which a node counts as down: Sentinel's down-after-milliseconds, or the
    cluster's node timeout.
    """

    mode: Literal["sentinel", "cluster"] = "sentinel"
    down_after: Duration = timedelta(seconds=5)
    persistence: Persistence = Persistence()
    memory: Memory = Memory()
    cluster: RedisCluster = RedisCluster()

    @property
    def down_after_ms(self) -> int:
        """`down_after` in milliseconds."""
        return int(self.down_after.total_seconds() * 1000)
