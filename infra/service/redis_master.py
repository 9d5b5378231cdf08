"""The site's Redis, as its Sentinels name it, or a cluster; nobody waits longer than half a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from infra.service import config
from tasks.errors import Transient

# Seconds.
_DEADLINE = 0.5


class RedisMaster:
    """The one connection pool of what the service keeps in Redis."""

    def __init__(self, redis: config.Redis) -> None:
        # redis-py would try ten times; the database answers sooner than that.
        patience: dict[str, Any] = {
            "socket_timeout": _DEADLINE,
            "socket_connect_timeout": _DEADLINE,
            "retry": Retry(NoBackoff(), 0),
        }
        self._master: Redis | RedisCluster
        self._sentinels: list[Redis] = []
        if redis.nodes:
            nodes = [ClusterNode(node, redis.port) for node in redis.nodes]
            self._master = RedisCluster(startup_nodes=nodes, password=redis.password, **patience)
        else:
            addresses = [(sentinel, redis.sentinel_port) for sentinel in redis.sentinels]
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has not annotated it
                addresses, sentinel_kwargs=patience, password=redis.password, **patience
            )
            self._sentinels, self._master = sentinel.sentinels, sentinel.master_for(redis.master_name)

    @asynccontextmanager
    async def asked(self, deadline: float = _DEADLINE) -> AsyncIterator[Any]:
        """The client of the master or the cluster, for `deadline` seconds at most.

        Raises:
            Transient: no Sentinel names one, it does not answer in time, or it refuses.
        """
        try:
            async with asyncio.timeout(deadline):
                yield self._master
        # Of a cluster none of whose nodes answers, redis-py raises what is no RedisError.
        except (RedisError, RedisClusterException, OSError) as error:
            raise Transient("redis is unavailable", str(error) or type(error).__name__) from error

    async def check(self) -> None:
        """Ask the master, or every master of the cluster.

        Raises:
            Transient: one cannot be used.
        """
        every = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(self._master, RedisCluster) else {}
        async with self.asked(_DEADLINE * 2) as master:
            await master.ping(**every)

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._master, *self._sentinels):
            await client.aclose()
