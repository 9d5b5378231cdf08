"""systemd's units for what no package of the distribution starts with the plan's files.

HAProxy, PgBouncer, Redis and Sentinel come with units that read the rendered files where they lie. A unit
never kills what its program started: runs outlive the runner and the workers, and Patroni ends PostgreSQL.

Source: systemd.service(5), systemd.exec(5); Patroni's documentation, "Running and configuring".
"""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.control import (
    ROUTINE_POOL,
    Control,
    client_environment,
    control_programs,
    database_url,
    server_environment,
    watch_command,
)
from infra.templating import templates
from tasks.plan.plan import Plan

# Where the repository lies on the hosts that run it, and where its plan does.
INSTALLED, PLAN_FILE = Path("/opt/naas-dr"), Path("/etc/naas-dr/plan.yaml")
ACCOUNT = "naas-dr"
_CLIENT_FILE, _SERVER_FILE = "etc/naas-dr/client.env", "etc/naas-dr/server.env"
_PREFECT_HOME = Path("/var/lib/naas-dr")
_ALONE = "KillMode=process"
# A run that recovers a site is waited for, however long it takes.
_PATIENT = "TimeoutStopSec=infinity"
# systemd weighs units, not processes: many routine runs may be due when a recovery is.
_HEAVY, _LIGHT = "CPUWeight=1000", "CPUWeight=10"
_FURTHER = {"runner": [_PATIENT, _HEAVY], f"worker-{ROUTINE_POOL}": [_LIGHT]}


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        what: what it is, for `systemctl status`.
        argv: its command line; a program of the distribution by its name alone.
        user: the account it runs under.
        lines: further lines of its service section.
        type: how systemd knows that it has started.
    """

    what: str
    argv: Sequence[str]
    user: str
    lines: Sequence[str] = ()
    type: str = "exec"

    @property
    def command(self) -> str:
        """The command line as systemd reads it."""
        python = str(INSTALLED / ".venv/bin/python")
        words = (python if word == sys.executable else word for word in self.argv)
        return shlex.join(words).replace("%", "%%")


def unit_files(plan: Plan, site: str, host: str) -> dict[str, str]:
    """The units of one host, by path below its root."""
    template = templates().get_template("unit.service.j2")
    return {
        f"etc/systemd/system/{name}.service": template.render(unit=unit)
        for name, unit in _units(plan, site, host).items()
    }


def unit_secrets(plan: Plan, site: str, host: str) -> dict[str, str]:
    """The environments that a host's units read, by path below its root.

    Raises:
        Permanent: a secret cannot be read.
    """
    runs, control = plan.sites[site].hosts[host].runs, _control(plan, plan.secret("prefect_api"))
    files = {}
    if {"control", "watch"} & set(runs):
        files[_CLIENT_FILE] = environment_file(client_environment(control) | {"DR_PLAN": str(PLAN_FILE)})
    if "control" in runs:
        url = database_url(plan, control)
        files[_SERVER_FILE] = environment_file(
            server_environment(control, url, plan.secret("prefect_encryption"))
        )
    return files


def _units(plan: Plan, site: str, host: str) -> dict[str, Unit]:
    runs, units = plan.sites[site].hosts[host].runs, dict[str, Unit]()
    if "etcd" in runs:
        units["etcd"] = Unit("etcd", ["etcd", "--config-file=/etc/etcd/etcd.yml"], "etcd", type="notify")
    if "postgres" in runs:
        units["patroni"] = Unit("Patroni", ["patroni", "/etc/patroni"], "postgres", [_ALONE])
    if "control" in runs:
        for each in control_programs(plan, _control(plan)):
            environment = _SERVER_FILE if each.serves else _CLIENT_FILE
            units[f"naas-dr-{each.name}"] = _ours(each.name, each.argv, environment)
    if "watch" in runs:
        units["naas-dr-watch"] = _ours("watch", watch_command(site), _CLIENT_FILE)
    return units


def _ours(name: str, argv: Sequence[str], environment: str) -> Unit:
    state = [f"StateDirectory={_PREFECT_HOME.name}", f"WorkingDirectory={INSTALLED}"]
    lines = [*state, f"EnvironmentFile=/{environment}", _ALONE, *_FURTHER.get(name, [])]
    return Unit(f"naas-dr: {name}", argv, ACCOUNT, lines)


def _control(plan: Plan, secret: str = "") -> Control:
    address = plan.sites[plan.site_of("dr")].addresses("control")[0]
    authority = plan.secret_path("ca_certificate")
    return Control(address, _PREFECT_HOME, f"admin:{secret}", authority=authority)


def environment_file(variables: dict[str, str]) -> str:
    """Lines that systemd and a shell read alike."""
    return "".join(f'{name}="{_quoted(value)}"\n' for name, value in sorted(variables.items()))


def _quoted(value: str) -> str:
    return re.sub(r'(["\\`$])', r"\\\1", value)
