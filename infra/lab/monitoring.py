"""Prometheus and Alertmanager in the lab: what the plan renders, over what the lab's servers measure.

Started when asked only: their alerts reach the lab's third parties, beside what incidents tell them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.lab.home import Home
from infra.lab.hosts import write_file
from infra.lab.processes import Server
from infra.lab.sites import alone
from infra.lab.starting import start_missing
from infra.platform.monitoring import storage_argument
from infra.platform.render import platform_files, platform_secrets
from infra.render import Rendered
from tasks.plan.plan import Plan
from tasks.plan.ports import (
    ALERTMANAGER_PORT,
    NODE_EXPORTER_PORT,
    POSTGRES_EXPORTER_PORT,
    PROMETHEUS_PORT,
    REDIS_EXPORTER_PORT,
)
from tasks.plan.references import read_secret

_FOLDERS = ("prometheus/", "alertmanager/")
_AUTHORITY = "etc/alertmanager/ca.crt"


def start_monitoring(home: Home) -> str:
    """Start both and the exporters, where they do not run; where Prometheus answers.

    Raises:
        Transient: one does not listen in time, or another command holds the lab.
    """
    plan = home.plan()
    site = plan.site_of("dr")
    name, host = next(iter(plan.sites[site].running("control").items()))
    with alone(home):
        _write(plan, home.root(site, name))
        start_missing(home.directory, _servers(home, plan, site, name))
    return f"http://{host.address}:{PROMETHEUS_PORT}"


def _write(plan: Plan, root: Path) -> None:
    for path, text in _of_ours(platform_files(plan)).items():
        write_file(root, f"etc/{path}", Rendered(text))
    for path, reference in _of_ours(platform_secrets(plan)).items():
        write_file(root, f"etc/{path}", Rendered(read_secret(plan.folder, reference), secret=True))
    write_file(root, _AUTHORITY, Rendered(plan.secret("ca_certificate")))
    for data in ("prometheus", "alertmanager"):
        write_file(root, f"var/lib/{data}/.kept", Rendered(""))


def _of_ours(files: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in files.items() if path.startswith(_FOLDERS)}


def _servers(home: Home, plan: Plan, site: str, host: str) -> list[Server]:
    root, prefix = home.root(site, host), tuple(home.network().prefix(site))
    address = str(plan.sites[site].hosts[host].address)
    # It opens the files of its secrets from where it runs, whatever folder its configuration lies in.
    alertmanager = [
        "env", f"--chdir={root}/etc/alertmanager", "prometheus-alertmanager",
        f"--config.file={root}/etc/alertmanager/alertmanager.yml",
        f"--storage.path={root}/var/lib/alertmanager", "--cluster.listen-address=",
        f"--web.listen-address={address}:{ALERTMANAGER_PORT}",
    ]  # fmt: skip
    prometheus = [
        "prometheus", f"--config.file={root}/etc/prometheus/prometheus.yml",
        f"--storage.tsdb.path={root}/var/lib/prometheus", storage_argument(plan),
        f"--web.listen-address={address}:{PROMETHEUS_PORT}",
    ]  # fmt: skip
    # Beside the public authorities, the lab's own: its third parties show certificates that it signed.
    trust = {"SSL_CERT_FILE": str(root / _AUTHORITY)}
    redis = [
        "prometheus-redis-exporter", "-redis.addr=",
        f"-web.listen-address={address}:{REDIS_EXPORTER_PORT}",
    ]  # fmt: skip
    # Never as an argument, which every account may read.
    password = {"REDIS_PASSWORD": plan.secret("redis")}
    return [
        *(_hosts_server(home, plan, each) for each in plan.sites),
        *_database_servers(home, plan),
        Server(f"{site}/{host}/redis-exporter", redis, root, address, REDIS_EXPORTER_PORT, password, prefix),
        Server(f"{site}/{host}/alertmanager", alertmanager, root, address, ALERTMANAGER_PORT, trust, prefix),
        Server(f"{site}/{host}/prometheus", prometheus, root, address, PROMETHEUS_PORT, prefix=prefix),
    ]


def _database_servers(home: Home, plan: Plan) -> Iterator[Server]:
    """An exporter beside each PostgreSQL, which it asks by its socket, as the account that owns it."""
    for site_name, site in plan.sites.items():
        prefix = tuple(home.network().prefix(site_name))
        for name, host in site.running("postgres").items():
            root, address = home.root(site_name, name), str(host.address)
            argv = [
                "prometheus-postgres-exporter",
                f"--web.listen-address={address}:{POSTGRES_EXPORTER_PORT}",
            ]
            where = {"DATA_SOURCE_NAME": f"host={root}/run/postgresql user=postgres dbname=postgres"}
            key = f"{site_name}/{name}/postgres-exporter"
            yield Server(key, argv, root, address, POSTGRES_EXPORTER_PORT, where, prefix)


def _hosts_server(home: Home, plan: Plan, site: str) -> Server:
    """A site's hosts are this one machine: one exporter answers at the address of each."""
    name, first = next(iter(plan.sites[site].hosts.items()))
    listening = [
        f"--web.listen-address={host.address}:{NODE_EXPORTER_PORT}"
        for host in plan.sites[site].hosts.values()
    ]
    root, prefix = home.root(site, name), tuple(home.network().prefix(site))
    argv = ["prometheus-node-exporter", *listening]
    key, address = f"{site}/{name}/node-exporter", str(first.address)
    return Server(key, argv, root, address, NODE_EXPORTER_PORT, prefix=prefix)
