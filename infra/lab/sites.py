"""A site of the lab: its files written, its servers started in order, what runs left alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from infra.lab.home import Home
from infra.lab.hosts import write_host
from infra.lab.processes import MARK, kill_all, running
from infra.lab.servers import servers_of
from tasks.errors import Refused
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

BASE: tuple[Program, ...] = ("storage", "etcd")
STACK: tuple[Program, ...] = (
    "postgres", "redis", "sentinel", "gateway", "pgbouncer", "service", "control",
)  # fmt: skip
WATCH: Program = "watch"
_COMMAND = "command"


def require_site(plan: Plan, site: str) -> None:
    """Refuse a site that the plan does not have.

    Raises:
        Refused: it does not.
    """
    if site not in plan.sites:
        raise Refused(f"there is no site {site}", f"the plan's sites: {', '.join(plan.sites)}")


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold the lab; what an earlier command was running when it was killed ends first."""
    with home.locked():
        kill_all(home.directory, None, _COMMAND)
        os.environ[MARK] = f"{home.directory}:{_COMMAND}"
        try:
            yield
        finally:
            del os.environ[MARK]


def prepare(home: Home, plan: Plan, site: str, active: str, *programs: Program) -> None:
    """Write the files of programs that do not run; Redis and Sentinel rewrite theirs while they do."""
    alive = running(home.directory)
    for name, host in plan.sites[site].hosts.items():
        idle = {
            program
            for program in set(programs) & set(host.runs)
            if not any(server.key in alive for server in servers_of(home, plan, site, name, program))
        }
        write_host(home, plan, site, name, active, idle)
