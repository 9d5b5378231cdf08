"""What a running lab is given: what any servers are, and what the lab waits for."""

import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import TypeVar

from infra.prepare import make_buckets, make_database
from tasks.clients import patroni, pgbackrest, postgres
from tasks.clients.truth import read_truth
from tasks.errors import Transient
from tasks.plan.plan import Plan

T = TypeVar("T")

_FOLLOWING = frozenset({"running", "streaming"})
# A site that failed follows nobody until it is brought back.
_HELD = frozenset({"in archive recovery"})


def stores(plan: Plan) -> None:
    """Make each site's buckets, once its store answers."""
    for site in plan.sites:
        _until(partial(make_buckets, plan, site), f"the store of {site}")


def truth(plan: Plan) -> str:
    """The active site, once etcd has quorum."""
    return _until(lambda: read_truth(plan)[0].active, "etcd")


def database(plan: Plan, site: str) -> None:
    """Make the service's database, its role and tables, and the backup stanza, on the site's leader."""
    leader = _until(partial(make_database, plan, site), f"a PostgreSQL leader in {site}", timeout=180)
    with postgres.connected(plan, leader.host, timeout=10) as connection:
        connection.execute(files("infra.service").joinpath("schema.sql").read_text())
    pgbackrest.create_stanza(plan, site, leader.name)


def streaming(plan: Plan, active: str) -> None:
    """Wait until every other node of both clusters follows.

    Raises:
        Transient: one does not within three minutes.
    """
    for name, site in plan.sites.items():
        if site.running("postgres"):
            good = _FOLLOWING if name == active else _FOLLOWING | _HELD
            _until(partial(_all_follow, plan, name, good), f"replication in {name}", timeout=180)
    _until(lambda: patroni.leader(plan, active), f"a leader in {active}")


def _all_follow(plan: Plan, site: str, good: frozenset[str]) -> None:
    members, wanted = patroni.members(plan, site), len(plan.sites[site].running("postgres"))
    follow = [m for m in members if m.state in good]
    if len(follow) < wanted:
        raise Transient(f"{len(follow)} of {wanted} PostgreSQL nodes of {site} follow", str(members))


def _until(attempt: Callable[[], T], what: str, timeout: float = 40) -> T:
    """Repeat an attempt while it fails in passing."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return attempt()
        except Transient as error:
            if time.monotonic() > deadline:
                raise Transient(f"{what} did not come up within {timeout:g} s", str(error)) from error
            time.sleep(0.1)
