"""What the lab's plan runs in place of systemd: `python -m infra.lab.site_commands`.

    start|stop HOME SITE HOST   Patroni, and PostgreSQL with it, on one host
    start-service|stop-service HOME SITE HOST SERVICE   one of the further services on one host

Exit codes: 255 where the host cannot be reached, as ssh has it; 75 where it may go well later. Every import
here is time that a recovery waits for.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from infra.lab.home import Home
from infra.lab.processes import kill_all, running
from infra.lab.servers import further_server, servers_of
from infra.lab.starting import start_missing
from tasks.clients.layout import Layout, service_file
from tasks.errors import DrError, Permanent, Transient

_UNREACHABLE, _TRY_AGAIN, _FAILED = 255, 75, 1
_STOP_S = 60


def start_database(home: Home, site: str, host: str) -> None:
    """Start a host's Patroni, unless it runs.

    Raises:
        Transient: it does not listen in time.
    """
    (server,) = servers_of(home, home.plan(), site, host, "postgres")
    start_missing(home.directory, [server])


def stop_database(home: Home, site: str, host: str) -> None:
    """Stop a host's Patroni and then whatever is left of its PostgreSQL.

    Raises:
        Permanent: something outlived SIGKILL.
    """
    plan = home.plan()
    (server,) = servers_of(home, plan, site, host, "postgres")
    if process := running(home.directory).get(server.key):
        process.terminate()
        psutil.wait_procs([process], timeout=_STOP_S)
    kill_all(home.directory, Layout.of(plan, site, host).data_dir, server.key)


def start_service(home: Home, site: str, host: str, service: str) -> None:
    """Start one of the further services on a host, unless it runs.

    Raises:
        Permanent: it is not installed there.
        Transient: it does not listen in time.
    """
    if not (home.root(site, host) / service_file(service)).exists():
        raise Permanent(f"{service} is not installed on {host}", service_file(service))
    start_missing(home.directory, [further_server(home, home.plan(), site, host, service)])


def stop_service(home: Home, site: str, host: str, service: str) -> None:
    """Stop one of the further services on a host, if it runs."""
    server = further_server(home, home.plan(), site, host, service)
    if process := running(home.directory).get(server.key):
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=_STOP_S)
        for each in alive:
            each.kill()


_ON_HOST: Mapping[str, Callable[..., None]] = {
    "start": start_database,
    "stop": stop_database,
    "start-service": start_service,
    "stop-service": stop_service,
}


def told(act: Callable[[], None]) -> int:
    """Do it; the exit code, and on standard error why it failed."""
    try:
        act()
    except DrError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- a program's own
        return _TRY_AGAIN if isinstance(error, Transient) else _FAILED
    return 0


def main(arguments: list[str]) -> int:
    """Do what is asked; the exit code."""
    what, directory, site, *on = arguments
    home = Home(Path(directory))
    if home.unreachable(site).exists():
        print(f"connect to {site}: connection refused", file=sys.stderr)  # noqa: T201 -- a program's own
        return _UNREACHABLE
    return told(lambda: _ON_HOST[what](home, site, *on))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
