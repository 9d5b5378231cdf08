"""Every configuration file of the servers, rendered from the plan.

The lab runs on exactly these files; `dr render` writes the same ones for real hosts. Files that hold
secrets are rendered apart, so that a plan can be rendered and read without any.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.platform.surroundings import INSTANCE_COOKIE
from infra.service_files import further_config, service_config
from infra.templating import templates
from tasks.clients.layout import REDIS_MASTER, Layout, scope_of, sentinel_user_of, service_file, slot_of
from tasks.clients.pgbackrest_command import peer_shell
from tasks.plan.plan import Plan
from tasks.plan.sites import Host, Program, Site


@dataclass(frozen=True)
class Rendered:
    """One file; `secret` ones are readable by their program's account only, a `program` can be run."""

    text: str
    secret: bool = False
    program: bool = False

    @property
    def mode(self) -> int:
        """The file's permissions."""
        return 0o600 if self.secret else 0o755 if self.program else 0o644


Files = dict[str, Rendered]


def host_files(  # noqa: PLR0913 -- a host is named by its plan, site and name; the rest is keyword-only
    plan: Plan,
    site_name: str,
    host_name: str,
    *,
    active: str,
    secrets: bool,
    programs: Collection[Program] | None = None,
) -> Files:
    """The files of one host, by path below its root.

    Args:
        plan: the plan.
        site_name: the host's site.
        host_name: the host.
        programs: only the files of these; of all that the host runs where None.
        active: the site that takes writes now; Redis and Sentinel start in the role this gives.
        secrets: whether to resolve secrets and render the files that hold them.
    """
    context = _context(plan, site_name, host_name, active)
    files: Files = {}
    runs = plan.sites[site_name].hosts[host_name].runs
    for program in runs if programs is None else set(runs) & set(programs):
        for path, template in _PLAIN.get(program, {}).items():
            text = templates().get_template(template).render(context)
            files[path] = Rendered(text, program=text.startswith("#!"))
        if secrets:
            for path, template in _SECRET.get(program, {}).items():
                files[path] = Rendered(templates().get_template(template).render(context), secret=True)
        if program == "service":
            files["etc/service/service.json"] = Rendered(service_config(plan, context))
            for name in plan.services:
                files[service_file(name)] = Rendered(further_config(plan, context, name))
    return files


def endpoint_config(plan: Plan, active: str) -> str:
    """The public endpoint's haproxy.cfg, with the active site in rotation and the others out.

    Raises:
        Refused: something else than HAProxy moves the plan's users.
    """
    gateways = {
        name: site.addresses("gateway")[0] for name, site in plan.sites.items() if site.addresses("gateway")
    }
    context = {
        "endpoint": plan.service.endpoint.proxy,
        "gateways": gateways,
        "active": active,
        **_balancing(plan),
    }
    return templates().get_template("endpoint.cfg.j2").render(context)


_PLAIN: Mapping[Program, Mapping[str, str]] = {
    "etcd": {"etc/etcd/etcd.yml": "etcd.yml.j2"},
    "postgres": {
        "etc/patroni/10-patroni.yml": "patroni.yml.j2",
        "etc/patroni/from_repository.py": "from_repository.py",
        "etc/patroni/pg_isready": "pg_isready.j2",
        "etc/pgbackrest/pgbackrest.conf": "pgbackrest.conf.j2",
    },
    "gateway": {"etc/haproxy/haproxy.cfg": "gateway.cfg.j2"},
    "pgbouncer": {"etc/pgbouncer/pgbouncer.ini": "pgbouncer.ini.j2"},
    "redis": {"etc/redis/redis.conf": "redis.conf.j2"},
    "sentinel": {"etc/redis/sentinel.conf": "sentinel.conf.j2"},
    "control": {"etc/postgresql/postgresql.conf": "control-postgresql.conf.j2"},
}

_SECRET: Mapping[Program, Mapping[str, str]] = {
    "postgres": {
        "etc/patroni/20-secrets.yml": "patroni-secrets.yml.j2",
        "etc/pgbackrest/conf.d/secrets.conf": "pgbackrest-secrets.conf.j2",
    },
    "pgbouncer": {"etc/pgbouncer/userlist.txt": "userlist.txt.j2"},
    "redis": {
        "etc/redis/secrets.conf": "redis-secrets.conf.j2",
        "etc/redis/users.acl": "redis-users.acl.j2",
    },
    "sentinel": {"etc/redis/sentinel-secrets.conf": "sentinel-secrets.conf.j2"},
}


def _context(plan: Plan, site_name: str, host_name: str, active: str) -> dict[str, Any]:
    site, host = plan.sites[site_name], plan.sites[site_name].hosts[host_name]
    layout = Layout.of(plan, site_name, host_name)
    return {
        "plan": plan,
        "site": site,
        "site_name": site_name,
        "host": host,
        "host_name": host_name,
        "active": active == site_name,
        "root": layout.root,
        "data_dir": layout.data_dir,
        "pgbackrest": layout.pgbackrest,
        "restore_command": layout.restore_command,
        "cluster": plan.postgresql_ha.cluster_name,
        "etcd": {n: h.address for s in plan.sites.values() for n, h in s.running("etcd").items()},
        "addresses": _client_addresses(plan),
        "secret": plan.secret,
        **_postgres_context(plan, site_name, host_name),
        **_storage_context(plan, site),
        **_redis_context(plan, site_name, host, active),
        "sentinel_user": sentinel_user_of(site_name),
        **_balancing(plan),
    }


def _client_addresses(plan: Plan) -> list[str]:
    hosts = [str(host.address) for site in plan.sites.values() for host in site.hosts.values()]
    return [*map(str, plan.access.operators), *hosts]


def _postgres_context(plan: Plan, site_name: str, host_name: str) -> dict[str, Any]:
    primary, dr = plan.site_of("primary"), plan.site_of("dr")
    peer = primary if site_name == dr else dr
    nodes = plan.postgresql_ha.nodes
    asynchronous = {node.name for node in nodes.replicas if node.replication == "asynchronous"}
    return {
        "scope": scope_of(plan, site_name),
        "peer_slot": slot_of(peer),
        "own_slot": slot_of(site_name),
        "standby_of": plan.sites[peer].addresses("postgres") if site_name == dr else [],
        "synchronous": site_name == primary and len(asynchronous) < len(nodes.replicas),
        "nosync": host_name in asynchronous,
        "timings": plan.patroni_timings,
        "archive_timeout": int(plan.recovery.archive_timeout.total_seconds()),
        "peer_shell": peer_shell(plan),
    }


def _storage_context(plan: Plan, site: Site) -> dict[str, Any]:
    def owner() -> Any:
        return plan.credentials(site.storage.owner)

    return {
        "storage": urlsplit(site.storage.endpoint),
        "ca_certificate": plan.secret_path("ca_certificate"),
        "owner": _Lazy(owner),
    }


def _redis_context(plan: Plan, site_name: str, host: Host, active: str) -> dict[str, Any]:
    site = plan.sites[site_name]
    first = site.addresses("redis")[:1]
    is_first = [str(host.address)] == first
    master = plan.sites[active].addresses("redis")[0] if is_first and active != site_name else "".join(first)
    timeout = plan.postgresql_ha.failover.timeout
    return {
        "redis_master": REDIS_MASTER,
        "replica_of": "" if is_first and active == site_name else master,
        "quorum": len(site.running("sentinel")) // 2 + 1,
        "redis_ha": plan.redis_ha,
        "clustered": plan.redis_ha.mode == "cluster",
        "failover_timeout_ms": int(timeout.total_seconds() * 1000),
        "gateway": "".join(site.addresses("gateway")[:1]),
    }


def _balancing(plan: Plan) -> dict[str, Any]:
    availability = plan.high_availability
    probe = availability.failover.health_checks[0]
    return {
        "balance": {"least_connections": "leastconn", "round_robin": "roundrobin", "random": "random"}[
            availability.load_balancing.algorithm
        ],
        "cookie": INSTANCE_COOKIE if availability.load_balancing.sticky_sessions else None,
        "grace_s": int(availability.load_balancing.health_check_grace_period.total_seconds()),
        "probe": {
            "path": probe.endpoint,
            "interval_s": int(probe.interval.total_seconds()),
            "timeout_s": int(probe.timeout.total_seconds()),
            "retries": probe.retries,
        },
    }


class _Lazy:
    """Resolves a secret only when a template asks for it."""

    def __init__(self, resolve: Callable[[], Any]) -> None:
        self._resolve = resolve

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolve(), name)
