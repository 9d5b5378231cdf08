"""Starting and stopping what runs on a host by the plan's commands: its database, or one of its services."""

import shlex

from tasks.clients.command import run
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.plan import Plan

_UNREACHABLE = "exit 255"


def start_database(plan: Plan, site: str, host: str, *, timeout: float = 60) -> None:
    """Start Patroni on a host, and PostgreSQL with it; no change where it runs.

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


def start_service(plan: Plan, site: str, host: str, service: str, *, timeout: float = 60) -> None:
    """Start one of the further services on a host; no change where it runs.

    Raises:
        Transient, Permanent: see `start_database`.
    """
    _run(plan, plan.access.start_service, site, host, timeout, service)


def stop_service(plan: Plan, site: str, host: str, service: str, *, timeout: float = 60) -> None:
    """Stop one of the further services on a host; no change where it does not run.

    Raises:
        Transient, Permanent: see `start_database`.
    """
    _run(plan, plan.access.stop_service, site, host, timeout, service)


def _run(  # noqa: PLR0913 -- what the command's template may name
    plan: Plan, command: str | None, site: str, host: str, timeout: float, service: str = ""
) -> None:
    if command is None:
        raise Refused(f"the plan has no command for {service}", hint="access.start_service, stop_service")
    address = plan.sites[site].hosts[host].address
    words = {"service": service, "site": site, "host": host, "address": address}
    argv = [word.format_map(words) for word in shlex.split(command)]
    try:
        run(argv, timeout=timeout)
    except Permanent as error:
        if error.detail.startswith(_UNREACHABLE):
            raise Transient(f"host {host} cannot be reached", error.detail) from error
        raise
