"""A lab host: a directory that stands for `/`, filled with rendered files and the secrets they name."""

from collections.abc import Collection
from pathlib import Path

from infra.lab.home import Home
from infra.lab.own_dcs import FILE as OWN_DCS
from infra.lab.own_dcs import own_dcs_file
from infra.lab.processes import own
from infra.lab.secrets import EDGE, certificate_paths
from infra.lab.storage import storage_identities, storage_sockets
from infra.lab.uploads import seed_uploads
from infra.render import Rendered, endpoint_config, host_files
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

_FOLDERS = (
    "etc", "run/postgresql", "run/pgbackrest", "var/log/pgbackrest", "var/spool/pgbackrest",
    "var/lib/postgresql", "var/lib/etcd", "var/lib/redis", "var/lib/sentinel", "data",
)  # fmt: skip


def write_host(  # noqa: PLR0913 -- a host of a site of a plan, in a lab, in a role
    home: Home, plan: Plan, site: str, host: str, active: str, programs: Collection[Program]
) -> None:
    """Write the files of some of a host's programs, owned by the account that runs them."""
    root = home.root(site, host)
    for folder in _FOLDERS:
        _folder(root, folder)
    files = host_files(plan, site, host, programs=programs, active=active, secrets=True)
    for path, rendered in files.items():
        write_file(root, path, rendered)
    if "postgres" in programs and plan.sites[site].dcs == "own":
        write_file(root, OWN_DCS, Rendered(own_dcs_file(plan, site)))
    if "service" in programs:
        write_file(
            root, "etc/service/database_password", Rendered(plan.secret("database_service"), secret=True)
        )
        write_file(root, "etc/service/redis_password", Rendered(plan.secret("redis"), secret=True))
    for asset in plan.protection.files.values():
        if asset.program in programs:
            protected = Path(asset.path.lstrip("/"))
            _folder(root, str(protected.parent))
            seed_uploads(root / protected)
    if "storage" in programs:
        _write_store(home, plan, site, root)


def write_edge(home: Home, plan: Plan, active: str) -> None:
    """Write the public endpoint's configuration and the third parties' certificate."""
    _folder(home.edge, "etc")
    write_file(home.edge, "etc/haproxy/haproxy.cfg", Rendered(endpoint_config(plan, active)))
    _write_certificate(home, EDGE, home.edge, "etc/")


def remove_sockets(endpoint: str) -> None:
    """Remove the sockets that a killed store left outside the lab's directory."""
    for socket in storage_sockets(endpoint):
        socket.unlink(missing_ok=True)


def _write_store(home: Home, plan: Plan, site: str, root: Path) -> None:
    storage = plan.sites[site].storage
    remove_sockets(storage.endpoint)
    owner, reader = plan.credentials(storage.owner), plan.credentials(storage.reader)
    identities = storage_identities(storage.bucket, owner, reader, storage.status_bucket)
    write_file(root, "identities.json", Rendered(identities, secret=True))
    _write_certificate(home, site, root)


def _write_certificate(home: Home, name: str, root: Path, folder: str = "") -> None:
    certificate, key = certificate_paths(home.directory, name)
    write_file(root, f"{folder}server.crt", Rendered(certificate.read_text()))
    write_file(root, f"{folder}server.key", Rendered(key.read_text(), secret=True))


def _folder(root: Path, relative: str) -> None:
    """Make a folder below a root, and give each level that is new to the account."""
    path = root
    for part in ("", *Path(relative).parts):
        path = path / part
        if not path.exists():
            path.mkdir(parents=True)
            own(path)
    if relative == "var/lib/postgresql":
        path.chmod(0o750)


def write_file(root: Path, relative: str, rendered: Rendered) -> None:
    """Write a file of a host, owned by the account of its programs."""
    _folder(root, str(Path(relative).parent))
    path = root / relative
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=rendered.mode)
    partial.write_text(rendered.text)
    own(partial)
    partial.rename(path)
