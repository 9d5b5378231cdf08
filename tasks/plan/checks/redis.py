"""Redis: enough hosts for its mode, and a memory that evicts nothing that must stay."""

from collections.abc import Iterator, Mapping

from tasks.plan.mistakes import Mistake
from tasks.plan.redis_ha import MASTERS, RedisHa
from tasks.plan.sites import Site

Sites = Mapping[str, Site]
_WORKING = ("primary", "dr")


def nodes(redis_ha: RedisHa, sites: Sites) -> Iterator[Mistake]:
    """A cluster has its masters and a replica of each, at every site that can take over."""
    wanted = redis_ha.cluster.nodes
    allowed = (
        f"{wanted} at least in the mode cluster: {MASTERS} masters, {redis_ha.cluster.replicas} replicas each"
    )
    for name, site in _clustered(redis_ha, sites):
        count = len(site.running("redis"))
        if count < wanted:
            yield Mistake(f"sites.{name}.hosts", f"{count} hosts run redis", allowed)


def no_sentinels(redis_ha: RedisHa, sites: Sites) -> Iterator[Mistake]:
    """A cluster elects its own masters: a Sentinel beside it would elect against it."""
    for name, site in _clustered(redis_ha, sites):
        for host in site.running("sentinel"):
            path = f"sites.{name}.hosts.{host}.runs"
            yield Mistake(path, "sentinel beside a Redis cluster", "no sentinel in the mode cluster")


def sentinels(redis_ha: RedisHa, sites: Sites) -> Iterator[Mistake]:
    """Without a cluster it is the Sentinels that elect."""
    for name, site in sites.items() if redis_ha.mode == "sentinel" else ():
        if site.role in _WORKING and not site.running("sentinel"):
            allowed = f"a {site.role} site runs sentinel in the mode sentinel"
            yield Mistake(f"sites.{name}.hosts", "no host runs sentinel", allowed)


def eviction(redis_ha: RedisHa) -> Iterator[Mistake]:
    """Nothing is evicted that must stay, and nothing is promised that never happens."""
    memory, path = redis_ha.memory, "redis_ha.memory.eviction"
    if memory.eviction.startswith("allkeys-") and not memory.cache_only:
        wrong = f"{memory.eviction} also evicts keys without an expiry: queues, flags, locks"
        yield Mistake(path, wrong, "noeviction or a volatile-... policy, unless cache_only is true")
    if memory.limit is None and memory.eviction != "noeviction":
        yield Mistake(path, "nothing is ever evicted without a limit", "a limit, or noeviction")


def _clustered(redis_ha: RedisHa, sites: Sites) -> Iterator[tuple[str, Site]]:
    for name, site in sites.items():
        if redis_ha.mode == "cluster" and site.role in _WORKING:
            yield name, site


CHECKS = (nodes, no_sentinels, sentinels, eviction)
