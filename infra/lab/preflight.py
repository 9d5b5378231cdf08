"""What the lab needs from the machine, all missing things named at once."""

import os
import pwd
import shutil
from pathlib import Path

from infra.lab.home import program
from infra.lab.network.namespaces import Namespaces
from tasks.errors import Refused

_APT = {
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "pgbackrest": "pgbackrest",
    "etcd": "etcd-server",
    "git": "git",
    "haproxy": "haproxy",
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "pgbouncer": "pgbouncer",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
}


def require_programs(kind: str) -> None:
    """Refuse to begin where something is missing.

    Raises:
        Refused: with everything that is missing and the commands that install it.
    """
    packages = sorted({package for name, package in _APT.items() if shutil.which(name) is None})
    absent = [name for name in ("patroni", "weed") if not Path(program(name)).exists()]
    if packages or absent:
        install = f"{Path(__file__).with_name('install-apt')} {' '.join(packages)}"
        hints = [*([install] if packages else []), *(["make setup"] if absent else [])]
        raise Refused("programs are missing", ", ".join([*packages, *absent]), "; ".join(hints))
    reason = Namespaces.available() if kind == "namespaces" else None
    if reason:
        raise Refused("network namespaces cannot be made here", reason, "use `--network loopback`")
    _require_readable(Path(program("patroni")))


def _require_readable(path: Path) -> None:
    """The account of the database servers must be able to reach the Python environment."""
    if os.geteuid() != 0:
        return
    account = pwd.getpwnam("postgres").pw_uid
    for folder in path.resolve().parents:
        facts = folder.stat()
        if not facts.st_mode & 0o001 and facts.st_uid != account:
            raise Refused(
                "the database servers' account cannot reach the Python environment",
                f"{folder} is closed to it",
                f"chmod o+x {folder}",
            )
