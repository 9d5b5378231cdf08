"""Prometheus and Alertmanager in the lab: what the plan renders, over what the lab's servers measure.

Started when asked only: their alerts reach the lab's third parties, beside what incidents tell them.
"""

from collections.abc import Mapping
from pathlib import Path

from infra.lab.home import Home
from infra.lab.hosts import write_file
from infra.lab.processes import Server
from infra.lab.sites import alone
from infra.lab.starting import start_missing
from infra.platform.monitoring import storage_argument
from infra.platform.render import platform_files, platform_secrets
from tasks.plan.plan import Plan
from tasks.plan.ports import ALERTMANAGER_PORT, PROMETHEUS_PORT
from tasks.plan.references import read_secret

_FOLDERS = ("prometheus/", "alertmanager/")
_AUTHORITY = "etc/alertmanager/ca.crt"


def start_monitoring(home: Home) -> str:
    """Start both on the control host, where they do not run; where Prometheus answers.

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
        write_file(root, f"etc/{path}", text, secret=False)
    for path, reference in _of_ours(platform_secrets(plan)).items():
        write_file(root, f"etc/{path}", read_secret(plan.folder, reference), secret=True)
    write_file(root, _AUTHORITY, plan.secret("ca_certificate"), secret=False)
    for data in ("prometheus", "alertmanager"):
        write_file(root, f"var/lib/{data}/.kept", "", secret=False)


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
    return [
        Server(f"{site}/{host}/alertmanager", alertmanager, root, address, ALERTMANAGER_PORT, trust, prefix),
        Server(f"{site}/{host}/prometheus", prometheus, root, address, PROMETHEUS_PORT, prefix=prefix),
    ]
