"""What a running lab is given once: buckets, the database with its roles, the backup stanza, the truth."""

import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import TypeVar

from psycopg import sql

from tasks.clients import patroni, pgbackrest, postgres
from tasks.clients.buckets import ensure_bucket, ensure_status_bucket
from tasks.clients.truth import read_truth
from tasks.errors import Transient
from tasks.plan.plan import Plan

T = TypeVar("T")

_FOLLOWING = frozenset({"running", "streaming"})
# A site that failed follows nobody until it is brought back.
_HELD = frozenset({"in archive recovery"})
_HEARTBEAT = """
create schema if not exists naas_dr;
create table if not exists naas_dr.heartbeat
    (id int primary key, note text not null, at timestamptz not null);
"""


def stores(plan: Plan) -> None:
    """Make each site's buckets, once its store answers."""
    for site in plan.sites:
        _until(partial(ensure_bucket, plan, site), f"the store of {site}")
        _until(partial(ensure_status_bucket, plan, site), f"the store of {site}")


def truth(plan: Plan) -> str:
    """The active site, once etcd has quorum."""
    return _until(lambda: read_truth(plan)[0].active, "etcd")


def database(plan: Plan, site: str) -> None:
    """Make the service's database, its role and tables, and the backup stanza, on the site's leader."""
    leader = _until(lambda: _writable_leader(plan, site), f"a PostgreSQL leader in {site}", timeout=180)
    _create_database(plan, leader.host)
    with postgres.connected(plan, leader.host, timeout=10) as connection:
        connection.execute(files("infra.service").joinpath("schema.sql").read_text())
        connection.execute(_HEARTBEAT)
        connection.execute(
            sql.SQL("alter role naas_service login password {}").format(plan.secret("database_service"))
        )
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


def _writable_leader(plan: Plan, site: str) -> patroni.Member:
    leader = patroni.leader(plan, site)
    if postgres.position(plan, leader.host, database="postgres").in_recovery:
        raise Transient(f"{leader.name} is still in recovery")
    return leader


def _create_database(plan: Plan, address: str) -> None:
    name = plan.service.database
    with postgres.connected(plan, address, database="postgres", timeout=10) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = 'naas_service'").fetchone():
            connection.execute("create role naas_service login")
        if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


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
