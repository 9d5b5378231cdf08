"""Starting and stopping a host's database service by the plan's commands: Patroni, and PostgreSQL with it."""

import shlex

from tasks.clients.command import run
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_UNREACHABLE = "exit 255"


def start_database(plan: Plan, site: str, host: str, *, timeout: float = 60) -> None:
    """Start Patroni on a host; no change where it runs.

    Raises:
        Transient: the host cannot be reached, or the command does not end within `timeout` seconds.
        Permanent: the command failed.
    """
    _run(plan, plan.access.start_database, site, host, timeout)


def stop_database(plan: Plan, site: str, host: str, *, timeout: float = 300) -> None:
    """Stop Patroni and PostgreSQL on a host; no change where nothing runs.

    Raises:
        Transient, Permanent: see `start_database`.
    """
    _run(plan, plan.access.stop_database, site, host, timeout)


def _run(plan: Plan, command: str, site: str, host: str, timeout: float) -> None:
    address = plan.sites[site].hosts[host].address
    argv = [word.format(site=site, host=host, address=address) for word in shlex.split(command)]
    try:
        run(argv, timeout=timeout)
    except Permanent as error:
        if error.detail.startswith(_UNREACHABLE):
            raise Transient(f"host {host} cannot be reached", error.detail) from error
        raise
