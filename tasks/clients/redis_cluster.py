"""A site's Redis cluster: made, looked at from every node, and one shard failed over.

Source: Redis manual, "Scale with Redis Cluster", "CLUSTER NODES", "CLUSTER FAILOVER"; `redis-cli --cluster
help`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from tasks.clients import hash_slots
from tasks.clients.command import run
from tasks.clients.hash_slots import Slots
from tasks.errors import DrError, Refused, Transient
from tasks.plan.plan import Plan

_PORT = 6379
_TIMEOUT_S, _CREATE_S, _POLL_S = 5.0, 120.0, 0.1
# A node hears of another's end within its timeout; a vote and the news of it take less than as much again.
_TIMEOUTS = 4


@dataclass(frozen=True)
class Shard:
    """One master with its part of the slots.

    Attributes:
        slots: its ranges.
        master: its master's address.
        replicas: the addresses of those that follow it and are not known to have failed.
    """

    slots: Slots
    master: str
    replicas: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """The cluster as one node sees it.

    Attributes:
        shards: all that have slots, by their first one.
        failed: the addresses of nodes that it takes for dead, or fears to be.
        moving: the slots that it gives away or takes, in Redis's words.
        ok: whether the node itself calls the cluster ok.
        nodes: how many nodes it knows, itself included.
    """

    shards: tuple[Shard, ...]
    failed: frozenset[str]
    moving: tuple[str, ...]
    ok: bool
    nodes: int

    @property
    def masters(self) -> dict[Slots, str]:
        """Who has which slots."""
        return {shard.slots: shard.master for shard in self.shards}

    @property
    def wrong(self) -> str:
        """Why it cannot be relied on for every slot; empty where it can."""
        if absent := hash_slots.missing(self.masters):
            return f"no master has the slots {hash_slots.written(absent)}"
        if dead := sorted(self.failed & set(self.masters.values())):
            return f"masters do not answer: {', '.join(dead)}"
        if self.moving:
            return f"slots are being moved: {', '.join(self.moving)}"
        return "" if self.ok else "a node calls its state failed"


def view(plan: Plan, address: str) -> Topology:
    """The cluster as the node at an address sees it.

    Raises:
        Transient: it does not answer.
    """
    with _node(plan, address) as node:
        known: dict[str, dict[str, Any]] = node.execute_command("CLUSTER NODES")  # type: ignore[no-untyped-call]
        state: dict[str, str] = node.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    nodes = {each["node_id"]: (where.rpartition(":")[0], each) for where, each in known.items()}
    failed = frozenset(where for where, each in nodes.values() if "fail" in each["flags"])
    shards = [
        Shard(_slots(each), where, _followers(nodes, name, failed))
        for name, (where, each) in nodes.items()
        if each["slots"]
    ]
    return Topology(
        shards=tuple(sorted(shards, key=lambda shard: shard.slots)),
        failed=failed,
        moving=tuple(str(move["slot"]) for _, each in nodes.values() for move in each["migrations"]),
        ok=state["cluster_state"] == "ok",
        nodes=len(nodes),
    )


def whole(plan: Plan, site: str) -> Topology:
    """The site's cluster, where all slots are served and every node that answers says the same of them.

    Raises:
        Transient: no node answers, nodes disagree, or slots have no master, a dead one, or are being moved.
    """
    views = _views(plan, site)
    for address, seen in views.items():
        if seen.wrong:
            raise Transient(f"the Redis cluster of {site} is not whole", f"{address}: {seen.wrong}")
    first = next(iter(views.values()))
    if any(each.masters != first.masters for each in views.values()):
        raise Transient(f"the nodes of {site} disagree on who has which slots", ", ".join(views))
    return first


def create(plan: Plan, site: str) -> Topology:
    """Make a cluster of the site's empty nodes, a replica in another zone than its master where zones allow.

    Raises:
        Permanent: a node holds keys, or knows others already.
        Transient: a node does not answer, or they do not find each other in time.
    """
    addresses = [f"{address}:{_PORT}" for address in _spread(plan, site)]
    replicas = str(plan.redis_ha.cluster.replicas)
    argv = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", replicas, "--cluster-yes"]
    run(argv, timeout=_CREATE_S, env={**os.environ, "REDISCLI_AUTH": plan.secret("redis")})
    return _until_whole(plan, site)


def ensure(plan: Plan, site: str) -> Topology:
    """The site's cluster, once it is whole; made first where none of its nodes has met another.

    Raises:
        Permanent: see `create`.
        Transient: no node answers, or it is not whole in time.
    """
    views = _views(plan, site)
    alone = [address for address, seen in views.items() if seen.nodes == 1 and not seen.shards]
    if alone == plan.sites[site].addresses("redis"):
        return create(plan, site)
    return _until_whole(plan, site)


def fail_over(plan: Plan, site: str, replica: str) -> Topology:
    """Make a replica the master of its shard without losing a write: the old one waits for it to catch up.

    Raises:
        Refused: the address is no replica of a shard.
        Transient: it does not answer, or is not the master in time.
    """
    if not any(replica in shard.replicas for shard in whole(plan, site).shards):
        raise Refused(f"{replica} is no replica of the Redis cluster of {site}")
    with _node(plan, replica) as node:
        node.execute_command("CLUSTER FAILOVER")  # type: ignore[no-untyped-call]
    topology = _until_whole(plan, site, replica)
    if replica not in topology.masters.values():
        raise Transient(f"{replica} did not become the master of its shard")
    return topology


@contextmanager
def client(plan: Plan, site: str) -> Iterator["RedisCluster"]:
    """A connection to the whole cluster that follows its slots; it gives bytes.

    Raises:
        Transient: the cluster does not answer.
    """
    try:
        cluster = RedisCluster(
            startup_nodes=[
                ClusterNode(each, _PORT)  # type: ignore[no-untyped-call]  # redis-py has not annotated it
                for each in plan.sites[site].addresses("redis")
            ],
            password=plan.secret("redis"),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        try:
            yield cluster
        finally:
            cluster.close()
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException) as error:
        raise Transient(f"the Redis cluster of {site} does not answer", str(error)) from error


def _views(plan: Plan, site: str) -> dict[str, Topology]:
    views = {}
    for address in plan.sites[site].addresses("redis"):
        try:
            views[address] = view(plan, address)
        except Transient:
            continue
    if not views:
        raise Transient(f"no Redis of {site} answers")
    return views


def _until_whole(plan: Plan, site: str, master: str | None = None) -> Topology:
    deadline = time.monotonic() + _TIMEOUTS * plan.redis_ha.down_after.total_seconds() + _TIMEOUT_S
    while True:
        try:
            found = whole(plan, site)
            if master in {None, *found.masters.values()} or time.monotonic() > deadline:
                return found
        except DrError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _spread(plan: Plan, site: str) -> list[str]:
    """Addresses with the zones in turn: redis-cli takes masters first, then replicas, one host on."""
    zones: dict[str, list[str]] = {}
    for host in plan.sites[site].running("redis").values():
        zones.setdefault(host.zone, []).append(str(host.address))
    return [address for address in chain(*zip_longest(*zones.values())) if address]


def _slots(node: Mapping[str, Any]) -> Slots:
    return tuple((int(each[0]), int(each[-1])) for each in node["slots"])


def _followers(
    nodes: Mapping[str, tuple[str, Mapping[str, Any]]], master: str, failed: frozenset[str]
) -> tuple[str, ...]:
    following = (where for where, each in nodes.values() if each["master_id"] == master)
    return tuple(where for where in following if where not in failed)


@contextmanager
def _node(plan: Plan, address: str) -> Iterator["redis.Redis"]:
    node = redis.Redis(
        host=address, port=_PORT, password=plan.secret("redis"), socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=1.0, decode_responses=True, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    try:
        yield node
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Transient(f"Redis at {address}:{_PORT} does not answer", str(error)) from error
    finally:
        node.close()
