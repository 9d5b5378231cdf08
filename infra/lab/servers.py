"""The lab as data: which program runs on which host, started from which rendered file."""

from collections.abc import Callable
from pathlib import Path

from infra.edge.addresses import HTTPS_PORT
from infra.lab.control import control_servers, watch_server
from infra.lab.home import Home, program
from infra.lab.processes import Server
from infra.lab.storage import storage_argv
from tasks.clients.layout import service_file
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

_CONFIG: dict[Program, tuple[str, Callable[[str], list[str]], int]] = {
    "etcd": ("etcd", lambda etc: ["etcd", f"--config-file={etc}/etcd/etcd.yml"], 2379),
    "postgres": ("patroni", lambda etc: [program("patroni"), f"{etc}/patroni"], 8008),
    "gateway": ("haproxy", lambda etc: ["haproxy", "-db", "-f", f"{etc}/haproxy/haproxy.cfg"], 8080),
    "pgbouncer": ("pgbouncer", lambda etc: ["pgbouncer", f"{etc}/pgbouncer/pgbouncer.ini"], 6432),
    "redis": ("redis", lambda etc: ["redis-server", f"{etc}/redis/redis.conf"], 6379),
    "sentinel": ("sentinel", lambda etc: ["redis-sentinel", f"{etc}/redis/sentinel.conf"], 26379),
    "service": (
        "service",
        lambda etc: [program("python"), "-m", "infra.service", f"{etc}/service/service.json"],
        8000,
    ),
}


def servers(home: Home, plan: Plan, site: str, *programs: Program) -> list[Server]:
    """A site's servers, of the given programs, in the plan's order of hosts."""
    found = []
    for name, host in plan.sites[site].hosts.items():
        for wanted in programs:
            if wanted in host.runs:
                found += servers_of(home, plan, site, name, wanted)
    return found


def endpoint_server(home: Home, plan: Plan) -> Server:
    """The public endpoint: in no site, so that no site's end takes it along."""
    proxy = plan.service.endpoint.proxy
    argv = ["haproxy", "-db", "-f", str(home.edge / "etc/haproxy/haproxy.cfg")]
    return Server("edge/endpoint/haproxy", argv, home.edge, str(proxy.address), proxy.port)


def edge_servers(home: Home, plan: Plan) -> list[Server]:
    """Everything that is in no site."""
    return [endpoint_server(home, plan), third_parties_server(home, plan)]


def third_parties_server(home: Home, plan: Plan) -> Server:
    """What stands for PagerDuty, Slack and the mail server, on ports of its own where users arrive."""
    address = str(plan.service.endpoint.address)
    certificate, key = (str(home.edge / "etc" / name) for name in ("server.crt", "server.key"))
    argv = [program("python"), "-m", "infra.edge", "--address", address, "--box", str(home.inbox)]
    argv += ["--certificate", certificate, "--key", key]
    return Server("edge/third-parties/receiver", argv, home.edge, address, HTTPS_PORT)


def servers_of(home: Home, plan: Plan, site: str, host: str, wanted: Program) -> list[Server]:
    """The servers that one program of a host is made of."""
    root, prefix = home.root(site, host), tuple(home.network().prefix(site))
    address = str(plan.sites[site].hosts[host].address)
    if wanted == "control":
        return control_servers(home, plan, site, host)
    if wanted == "watch":
        return [watch_server(home, plan, site, host)]
    if wanted == "storage":
        return [_storage(plan, site, host, root, prefix)]
    name, argv, port = _CONFIG[wanted]
    return [Server(f"{site}/{host}/{name}", argv(f"{root}/etc"), root, address, port, prefix=prefix)]


def further_server(home: Home, plan: Plan, site: str, host: str, service: str) -> Server:
    """One of the further services on a host."""
    root, prefix = home.root(site, host), tuple(home.network().prefix(site))
    argv = [program("python"), "-m", "infra.service.further", str(root / service_file(service))]
    address = str(plan.sites[site].hosts[host].address)
    port = plan.services[service].port
    return Server(f"{site}/{host}/service-{service}", argv, root, address, port, prefix=prefix)


def further_servers(home: Home, plan: Plan, site: str) -> list[Server]:
    """Every further service of a site, on each host where it runs while the site is active."""
    hosts = plan.sites[site].running("service")
    return [further_server(home, plan, site, host, name) for name in plan.services for host in hosts]


def _storage(plan: Plan, site: str, host: str, root: Path, prefix: tuple[str, ...]) -> Server:
    endpoint = plan.sites[site].storage.endpoint
    argv = storage_argv(endpoint, root, program("weed"))
    address, _, port = endpoint.removeprefix("https://").partition(":")
    return Server(f"{site}/{host}/storage", argv, root, address, int(port or 443), prefix=prefix)
