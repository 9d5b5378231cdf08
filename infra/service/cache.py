"""Orders in Redis: a cache beside the database that nobody has to wait for."""

import asyncio
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from infra.service import config
from infra.service.orders import Order
from tasks.errors import Transient

# Seconds.
_LIFETIME = 60
_DEADLINE = 0.5


class OrderCache:
    """Cache-aside: an order is put here after it was read from the database."""

    def __init__(self, redis: config.Redis) -> None:
        # redis-py would try ten times; the database answers sooner than that.
        patience: dict[str, Any] = {
            "socket_timeout": _DEADLINE,
            "socket_connect_timeout": _DEADLINE,
            "retry": Retry(NoBackoff(), 0),
        }
        self._client: Redis | RedisCluster
        self._sentinels: list[Redis] = []
        if redis.nodes:
            nodes = [ClusterNode(node, redis.port) for node in redis.nodes]
            self._client = RedisCluster(startup_nodes=nodes, password=redis.password, **patience)
        else:
            addresses = [(sentinel, redis.sentinel_port) for sentinel in redis.sentinels]
            sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has not annotated it
                addresses, sentinel_kwargs=patience, password=redis.password, **patience
            )
            self._sentinels, self._client = sentinel.sentinels, sentinel.master_for(redis.master_name)

    async def get(self, order_id: UUID) -> Order | None:
        """The order of an id, where the cache has it and answers within 0.5 s."""
        try:
            async with asyncio.timeout(_DEADLINE):
                kept = await self._client.get(_key(order_id))
            return Order.model_validate_json(kept) if kept else None
        except (RedisError, OSError, ValidationError):
            return None

    async def put(self, order: Order) -> None:
        """Keep an order for a minute, where the cache takes it within 0.5 s."""
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._client.set(_key(order.id), order.model_dump_json(), ex=_LIFETIME)
        except (RedisError, OSError):
            return

    async def check(self) -> None:
        """Ask the master that the Sentinels name, or every master of the cluster.

        Raises:
            Transient: no Sentinel names one, or one does not answer.
        """
        try:
            async with asyncio.timeout(_DEADLINE * 2):
                await self._ping()
        except (RedisError, OSError) as error:
            raise Transient("redis is unavailable", str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close every connection."""
        for client in (self._client, *self._sentinels):
            await client.aclose()

    async def _ping(self) -> None:
        if isinstance(self._client, RedisCluster):
            await self._client.ping(target_nodes=RedisCluster.PRIMARIES)
        else:
            await self._client.ping()


def _key(order_id: UUID) -> str:
    return f"orders:{order_id}"
