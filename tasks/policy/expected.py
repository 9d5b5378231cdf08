"""What the plan's rendered configuration makes the servers run with, in the servers' own words. Pure.

The templates hold the same values; tests/unit/test_drift.py holds the two together.
"""

from collections.abc import Mapping
from typing import Any

from tasks.clients.layout import REDIS_MASTER, Layout, slot_of
from tasks.clients.running_configuration import EDGE
from tasks.facts.drift import Expected, OneOf, Path
from tasks.plan.plan import Plan
from tasks.plan.sites import Program, Site

PGBOUNCER: Mapping[str, str] = {
    "pool_mode": "transaction",
    "max_client_conn": "500",
    "default_pool_size": "20",
    "server_login_retry": "0.2",
    "query_wait_timeout": "5",
}
# HAProxy 2.6 has no word of its own for random.
_RANDOM = OneOf(("random", "unknown"))
_BALANCE: Mapping[str, str | OneOf] = {
    "least_connections": "leastconn",
    "round_robin": "roundrobin",
    "random": _RANDOM,
}


def expected(plan: Plan, active: str) -> tuple[Expected, ...]:
    """What every program of the plan's hosts, and the public endpoint where HAProxy is it, should run with.

    Args:
        plan: the plan.
        active: the site that takes writes.
    """
    hosts = (
        Expected(name, host, program, build(plan, name, host, active))
        for name, site in plan.sites.items()
        for program, build in _BUILD.items()
        for host in site.running(program)
    )
    if plan.service.endpoint.driver != "haproxy":
        return tuple(hosts)
    return (*hosts, Expected(EDGE, "endpoint", "haproxy", _endpoint(plan, active)))


def scope(plan: Plan, site: str, active: str) -> dict[Path, Any]:
    """Patroni's dynamic configuration of a site; of a standby cluster whom it follows."""
    timings, peer = plan.patroni_timings, _peer(plan, site)
    settings: dict[Path, Any] = {
        ("dynamic", "ttl"): timings.ttl,
        ("dynamic", "loop_wait"): timings.loop_wait,
        ("dynamic", "retry_timeout"): timings.retry_timeout,
        ("dynamic", "failsafe_mode"): False,
        ("dynamic", "synchronous_mode"): _is_synchronous(plan, site),
        ("dynamic", "slots", slot_of(peer), "type"): "physical",
    }
    if site == active:
        return settings | {("dynamic", "standby_cluster"): None}
    return settings | {
        ("dynamic", "standby_cluster", "host"): ",".join(plan.sites[active].addresses("postgres")),
        ("dynamic", "standby_cluster", "restore_command"): None,
    }


def node(plan: Plan, site: str, host: str) -> dict[Path, Any]:
    """A PostgreSQL node's own archiving and recovery."""
    layout = Layout.of(plan, site, host)
    return {
        ("parameters", "archive_mode"): "on",
        ("parameters", "archive_command"): f"{layout.pgbackrest} archive-push %p",
        ("parameters", "archive_timeout"): int(plan.recovery.archive_timeout.total_seconds()),
        ("parameters", "restore_command"): layout.restore_command,
    }


def _postgres(plan: Plan, site: str, host: str, active: str) -> dict[Path, Any]:
    standby = {} if site == active else {("role",): OneOf(("replica", "standby_leader"))}
    return scope(plan, site, active) | node(plan, site, host) | standby


def _redis(plan: Plan, site: str, host: str, active: str) -> dict[Path, Any]:
    addresses = plan.sites[site].addresses("redis")
    config: dict[Path, Any] = {("config", name): value for name, value in _redis_config(plan).items()}
    if plan.redis_ha.mode == "cluster":
        return config
    config["config", "replica-priority"] = "100" if site == active else "0"
    if site != active:
        first = next(iter(plan.sites[site].running("redis"))) == host
        upstream = plan.sites[active].addresses("redis") if first else addresses
        config |= {("role",): "slave", ("master_host",): OneOf(tuple(upstream))}
    return config


def _redis_config(plan: Plan) -> dict[str, str]:
    wanted = plan.redis_ha
    settings = {
        "appendonly": "yes",
        "appendfsync": wanted.persistence.appendfsync,
        "save": wanted.persistence.save,
        "maxmemory": str(wanted.memory.limit or 0),
        "maxmemory-policy": wanted.memory.eviction,
    }
    if wanted.mode == "sentinel":
        return settings
    return settings | {
        "cluster-enabled": "yes",
        "cluster-node-timeout": str(wanted.down_after_ms),
        "cluster-require-full-coverage": "yes" if wanted.cluster.full_coverage else "no",
    }


def _sentinel(plan: Plan, site: str, _host: str, active: str) -> dict[Path, Any]:
    if site != active:
        return {(REDIS_MASTER,): None}
    timeout = plan.postgresql_ha.failover.timeout
    return {
        (REDIS_MASTER, "ip"): OneOf(tuple(plan.sites[site].addresses("redis"))),
        (REDIS_MASTER, "quorum"): len(plan.sites[site].running("sentinel")) // 2 + 1,
        (REDIS_MASTER, "down-after-milliseconds"): plan.redis_ha.down_after_ms,
        (REDIS_MASTER, "failover-timeout"): int(timeout.total_seconds() * 1000),
    }


def _pgbouncer(plan: Plan, site: str, _host: str, _active: str) -> dict[Path, Any]:
    database, gateways = plan.service.database, plan.sites[site].addresses("gateway")
    return {
        **{("config", name): value for name, value in PGBOUNCER.items()},
        ("databases", database, "host"): "".join(gateways[:1]),
        ("databases", database, "port"): 5000,
    }


def _gateway(plan: Plan, site: str, _host: str, _active: str) -> dict[Path, Any]:
    return {
        ("backends", "instances", "algorithm"): _balance(plan),
        **_servers(plan.sites[site], "instances", "service", 8000),
        **_service_backends(plan, plan.sites[site]),
        **_servers(plan.sites[site], "postgresql", "postgres", 5432),
    }


def _endpoint(plan: Plan, active: str) -> dict[Path, Any]:
    settings: dict[Path, Any] = {("backends", "sites", "algorithm"): _RANDOM}
    for name, site in plan.sites.items():
        for gateway in site.addresses("gateway")[:1]:
            settings["backends", "sites", "servers", name, "address"] = f"{gateway}:8080"
            settings["backends", "sites", "servers", name, "out"] = name != active
    return settings


def _etcd(plan: Plan, _site: str, _host: str, _active: str) -> dict[Path, Any]:
    members = {name: host for site in plan.sites.values() for name, host in site.running("etcd").items()}
    return {("members", name): [f"http://{host.address}:2379"] for name, host in members.items()}


_BUILD: Mapping[Program, Any] = {
    "postgres": _postgres,
    "redis": _redis,
    "sentinel": _sentinel,
    "pgbouncer": _pgbouncer,
    "gateway": _gateway,
    "etcd": _etcd,
}


def _servers(site: Site, backend: str, program: Program, port: int) -> dict[Path, Any]:
    settings: dict[Path, Any] = {}
    for name, host in site.running(program).items():
        where = ("backends", backend, "servers", name)
        settings |= {(*where, "address"): f"{host.address}:{port}", (*where, "out"): False}
    return settings


def _service_backends(plan: Plan, site: Site) -> dict[Path, Any]:
    settings: dict[Path, Any] = {}
    for name, each in plan.services.items():
        backend = f"service-{name}"
        settings["backends", backend, "algorithm"] = _balance(plan)
        settings |= _servers(site, backend, "service", each.port)
    return settings


def _balance(plan: Plan) -> str | OneOf:
    return _BALANCE[plan.high_availability.load_balancing.algorithm]


def _peer(plan: Plan, site: str) -> str:
    primary, dr = plan.site_of("primary"), plan.site_of("dr")
    return primary if site == dr else dr


def _is_synchronous(plan: Plan, site: str) -> bool:
    replicas = plan.postgresql_ha.nodes.replicas
    return site == plan.site_of("primary") and any(each.replication != "asynchronous" for each in replicas)
