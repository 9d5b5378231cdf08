"""Redis and its Sentinels, site by site.

Source: Redis manual, "High availability with Redis Sentinel", "Replication".
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis

from tasks.clients.layout import REDIS_MASTER, sentinel_user_of
from tasks.errors import Transient
from tasks.plan.plan import Plan

_log = logging.getLogger("dr.redis")
_TIMEOUT = 3.0
_CATCH_UP_S, _POLL_S = 5, 0.02
# Longer than the catching up: a master that nobody could demote takes writes again by itself.
_PAUSE_MS = 10_000
_BATCH = 500


def role(plan: Plan, address: str) -> str:
    """What a Redis server is now: "master" or "slave", Redis's own words.

    Raises:
        Transient: it does not answer.
    """
    with opened(plan, address) as server:
        return str(server.info("replication")["role"])


def info(plan: Plan, address: str) -> dict[str, Any]:
    """All that a Redis server says about itself, by field.

    Raises:
        Transient: it does not answer.
    """
    with opened(plan, address) as server:
        return {str(name): value for name, value in server.info("default").items()}


def keys(plan: Plan, address: str) -> int:
    """How many keys a Redis server holds, in all its databases.

    Raises:
        Transient: it does not answer.
    """
    with opened(plan, address) as server:
        return sum(int(each["keys"]) for each in server.info("keyspace").values())


def fill(plan: Plan, address: str, source: "redis.Redis") -> None:
    """Copy every key of another server that this one does not have, with what is left of its life.

    Args:
        plan: the plan.
        address: the server that is filled.
        source: a connection that gives bytes.

    Raises:
        Transient: it does not answer.
    """
    for name in source.info("keyspace"):
        number = int(name.removeprefix("db"))
        source.select(number)
        with _client(address, 6379, plan.secret("redis"), number=number, text=False) as target:
            for key in source.scan_iter(count=_BATCH):
                _copy(source, target, key)


def master_of(plan: Plan, site: str) -> str:
    """The address of a site's Redis that serves it: its master, else the first that is up.

    Raises:
        Transient: none of the site answers.
    """
    answering = []
    for address in plan.sites[site].addresses("redis"):
        try:
            if role(plan, address) == "master":
                return address
            answering.append(address)
        except Transient:
            continue
    if not answering:
        raise Transient(f"no Redis of {site} answers")
    return answering[0]


def promote(plan: Plan, site: str) -> str:
    """Make a site's Redis the master, the site's others its replicas, and let its Sentinels watch it.

    A replica or a Sentinel that is silent holds no recovery up; it is told in the log.

    Returns:
        the master's address.

    Raises:
        Transient: no server of the site answers, or none of its Sentinels.
    """
    return _gather(plan, site, _lead(plan, site))


def _lead(plan: Plan, site: str) -> str:
    master = master_of(plan, site)
    with opened(plan, master) as server:
        server.config_set("replica-priority", 100)
        server.replicaof("NO", "ONE")
    return master


def _gather(plan: Plan, site: str, master: str) -> str:
    """Have the site's others follow its new master, and its Sentinels watch it."""
    hosts = plan.sites[site]
    _silent({it: partial(_follow, plan, it, master, 100) for it in hosts.addresses("redis") if it != master})
    sentinels = {it: partial(_watch, plan, site, it, master) for it in hosts.addresses("sentinel")}
    if len(_silent(sentinels)) == len(sentinels) > 0:
        raise Transient(f"no Sentinel of {site} answers", ", ".join(sentinels))
    return master


def _silent(jobs: Mapping[str, Callable[[], None]]) -> list[str]:
    """Do it at every server; those that did not answer."""
    silent = []
    for address, job in jobs.items():
        try:
            job()
        except Transient as error:
            _log.warning("%s: it is gone round, and has to be told when it returns", error)
            silent.append(address)
    return silent


def follows(plan: Plan, site: str, upstream: str) -> bool:
    """Whether a site's Redis replicates from another site's master, with its link up.

    Raises:
        Transient: a server does not answer.
    """
    first = plan.sites[site].addresses("redis")[0]
    told, master = info(plan, first), master_of(plan, upstream)
    return told.get("master_host") == master and told.get("master_link_status") == "up"


def hand_over(plan: Plan, source: str, target: str) -> str:
    """Make another site's Redis the master without losing a write: the old one takes none from here on.

    Returns:
        the new master's address.

    Raises:
        Transient: a server does not answer, or the replica does not catch up in time.
    """
    old, new = master_of(plan, source), plan.sites[target].addresses("redis")[0]
    if role(plan, old) == "master" and role(plan, new) != "master":
        for address in plan.sites[source].addresses("sentinel"):
            _unwatch(address)
        with opened(plan, old) as server:
            server.client_pause(_PAUSE_MS, all=False)
            _wait_for_replica(plan, server, new)
    master = _lead(plan, target)
    follow(plan, source, target)  # before anything else can fail: else there would be two masters
    return _gather(plan, target, master)


def _wait_for_replica(plan: Plan, master: "redis.Redis", replica: str) -> None:
    deadline = time.monotonic() + _CATCH_UP_S
    while True:
        wanted = int(master.info("replication")["master_repl_offset"])
        if int(info(plan, replica).get("slave_repl_offset", -1)) >= wanted:
            return
        if time.monotonic() > deadline:
            master.client_unpause()
            raise Transient(f"Redis at {replica} does not catch up", f"within {_CATCH_UP_S} s")
        time.sleep(_POLL_S)


def follow(plan: Plan, site: str, upstream: str) -> str:
    """Make a site's Redis servers replicas of another site's master; its Sentinels stop watching first.

    Returns:
        that master's address.

    Raises:
        Transient: a server does not answer.
    """
    for address in plan.sites[site].addresses("sentinel"):
        _unwatch(address)
    first, *others = plan.sites[site].addresses("redis")
    master = master_of(plan, upstream)
    _follow(plan, first, master, priority=0)
    for address in others:
        _follow(plan, address, first, priority=0)
    return master


def _copy(source: "redis.Redis", target: "redis.Redis", key: bytes) -> None:
    value, left_ms = source.dump(key), source.pttl(key)
    if value is None:
        return  # its life ended meanwhile
    try:
        target.restore(key, max(left_ms, 0), value)
    except redis.ResponseError as error:
        if "BUSYKEY" not in str(error):
            raise


def _follow(plan: Plan, address: str, master: str, priority: int) -> None:
    with opened(plan, address) as server:
        server.config_set("replica-priority", priority)
        server.replicaof(master, "6379")


def _watch(plan: Plan, site: str, address: str, master: str) -> None:
    _unwatch(address)
    quorum = len(plan.sites[site].addresses("sentinel")) // 2 + 1
    timeout_ms = int(plan.postgresql_ha.failover.timeout.total_seconds() * 1000)
    settings = {
        "auth-user": sentinel_user_of(site),
        "auth-pass": plan.secret("redis"),
        "down-after-milliseconds": plan.redis_ha.down_after_ms,
        "failover-timeout": timeout_ms,
    }
    with _sentinel(address) as sentinel:
        sentinel.sentinel_monitor(REDIS_MASTER, master, 6379, quorum)
        for name, value in settings.items():
            sentinel.sentinel_set(REDIS_MASTER, name, value)


def _unwatch(address: str) -> None:
    with _sentinel(address) as sentinel:
        try:
            sentinel.sentinel_remove(REDIS_MASTER)
        except redis.ResponseError as error:
            if "No such master" not in str(error):
                raise


@contextmanager
def opened(plan: Plan, address: str, *, text: bool = True) -> Iterator["redis.Redis"]:
    """A connection to a Redis server, which gives text or bytes.

    Raises:
        Transient: it does not answer.
    """
    with _client(address, 6379, plan.secret("redis"), text=text) as client:
        yield client


@contextmanager
def _sentinel(address: str) -> Iterator["redis.Redis"]:
    with _client(address, 26379, None) as client:
        yield client


@contextmanager
def _client(
    address: str, port: int, password: str | None, *, number: int = 0, text: bool = True
) -> Iterator["redis.Redis"]:
    client = redis.Redis(
        host=address,
        port=port,
        password=password,
        db=number,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=1.0,
        decode_responses=text,
    )
    try:
        yield client
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Transient(f"Redis at {address}:{port} does not answer", str(error)) from error
    finally:
        client.close()
