"""The lab's users: a load through the public endpoint with its own ledger, and data to begin with."""

import time

import psutil

from infra.lab.home import Home, program
from infra.lab.processes import Server, running, start
from tasks.clients import patroni, postgres
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

_KEY = "world/users/load"
_STOP_S = 10

_ROWS = """
insert into orders (id, item, quantity)
select gen_random_uuid(), 'sample ' || n || ' ' || md5(n::text), 1 + n %% 9 from generate_series(1, %s) n
"""


def start_load(home: Home, plan: Plan, rate: float) -> None:
    """Send orders at a steady rate until `stop_load`; each acknowledged one is written to the ledger.

    Args:
        home: the lab.
        plan: where users arrive.
        rate: orders a second.

    Raises:
        Refused: the load runs already.
    """
    if _KEY in running(home.directory):
        raise Refused("the load runs already", hint="stop it with `dr lab load --stop`")
    endpoint = plan.service.endpoint
    root = home.directory / "users"
    root.mkdir(exist_ok=True)
    argv = [program("python"), "-m", "infra.load", "--url", endpoint.url, "--ledger", str(home.ledger)]
    server = Server(_KEY, [*argv, "--rate", str(rate)], root, str(endpoint.proxy.address), None, as_root=True)
    start(home.directory, server)


def stop_load(home: Home) -> None:
    """End the load after the requests that are under way.

    Raises:
        Permanent: it does not end.
    """
    process = running(home.directory).get(_KEY)
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except psutil.TimeoutExpired as error:
        raise Permanent("the load does not end", f"pid {process.pid}") from error


def add_rows(plan: Plan, site: str, rows: int) -> float:
    """Insert sample orders on a site's leader.

    Returns:
        the seconds it took.
    """
    began = time.monotonic()
    with postgres.connected(plan, patroni.leader(plan, site).host, timeout=300) as connection:
        connection.execute(_ROWS, (rows,))
    return time.monotonic() - began
