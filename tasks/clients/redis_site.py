"""A site's Redis in either mode: whether it serves, what it holds, and how it takes over.

Between sites a single Redis is replicated. A cluster is not, for Redis knows no replication between two of
them: the other site's cluster takes over with what its newest point holds, and a planned move is refused.
"""

from contextlib import AbstractContextManager
from typing import Any

import redis
from redis.cluster import RedisCluster

from tasks.clients import cache, points, redis_cluster, redis_fill, redis_points
from tasks.errors import Permanent
from tasks.plan.plan import Plan


def require_serving(plan: Plan, site: str) -> str:
    """Make sure that a site's Redis takes writes; what serves there, in words.

    Raises:
        Permanent: none of its servers is a master.
        Transient: none answers, or its cluster is not whole.
    """
    if plan.redis_ha.mode == "cluster":
        return f"Redis cluster of {len(redis_cluster.whole(plan, site).shards)} shards"
    master = cache.master_of(plan, site)
    if cache.role(plan, master) != "master":
        raise Permanent(f"no Redis of {site} is the master", master)
    return f"Redis master {master}"


def opened(plan: Plan, site: str) -> AbstractContextManager["redis.Redis | RedisCluster"]:
    """A connection to what serves a site: its master, which gives text, or its cluster, which gives bytes.

    Raises:
        Transient: no server answers, or the cluster does not.
    """
    if plan.redis_ha.mode == "cluster":
        return redis_cluster.client(plan, site)
    return cache.opened(plan, cache.master_of(plan, site))


def get(plan: Plan, site: str, key: str) -> str | None:
    """The text of a key at a site; None where there is none.

    Raises:
        Transient: the server, or the cluster, does not answer.
    """
    with opened(plan, site) as server:
        value: Any = server.get(key)
    return value.decode() if isinstance(value, bytes) else value


def take_over(plan: Plan, site: str) -> str:
    """Make a site's Redis the one that takes writes; the address of its master, of a cluster its first.

    A cluster that holds nothing is filled from the newest point that the site's own bucket has.

    Raises:
        Transient: a server or the store does not answer, or the cluster is not whole.
        Permanent: the point is not what was stored.
    """
    if plan.redis_ha.mode == "sentinel":
        return cache.promote(plan, site)
    stored = points.stored(plan, site, redis_points.ASSET)
    if stored and not redis_fill.held(plan, site):
        redis_fill.fill(plan, site, site, stored[-1])
    return redis_cluster.whole(plan, site).shards[0].master


def follow(plan: Plan, site: str, upstream: str) -> str:
    """Make a site's Redis follow another site's; the address of that one's master, of a cluster none.

    Raises:
        Transient: a server does not answer.
    """
    if plan.redis_ha.mode == "cluster":
        return ""
    return cache.follow(plan, site, upstream)
