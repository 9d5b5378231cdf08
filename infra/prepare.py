"""What servers are given once, before the first flow: buckets, the database and its role, the stanza.

All of it is made where it is missing; the same again changes nothing.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from tasks.clients import patroni, pgbackrest, postgres
from tasks.clients.buckets import ensure_bucket, ensure_status_bucket
from tasks.clients.layout import SERVICE_ROLE
from tasks.clients.truth import active_site
from tasks.errors import Transient
from tasks.plan.plan import Plan

_HEARTBEAT = """
create schema if not exists naas_dr;
create table if not exists naas_dr.heartbeat
    (id int primary key, note text not null, at timestamptz not null);
"""


def prepare(plan: Plan) -> Iterator[str]:
    """Make what no flow makes; tables of the service's own are the service's.

    Yields:
        what is in place, in words, as soon as it is.

    Raises:
        Permanent: a store refuses, a bucket is not what the plan says, or the stanza cannot be made.
        Transient: a store, etcd or the active site's PostgreSQL does not answer.
    """
    for name, site in plan.sites.items():
        make_buckets(plan, name)
        buckets = filter(None, (site.storage.bucket, site.storage.status_bucket))
        yield f"{name}: bucket {' and bucket '.join(buckets)}"
    active = active_site(plan)
    leader = make_database(plan, active)
    made = f"database {plan.service.database}, role {SERVICE_ROLE}, the heartbeat's table"
    yield f"{active}: {made}, on {leader.name}"
    pgbackrest.create_stanza(plan, active, leader.name)
    yield f"{active}: pgBackRest's stanza {plan.postgresql_ha.cluster_name}"


def make_buckets(plan: Plan, site: str) -> None:
    """Make a site's buckets.

    Raises:
        Permanent: the store refuses, or a bucket is not what the plan says.
        Transient: the store does not answer.
    """
    ensure_bucket(plan, site)
    ensure_status_bucket(plan, site)


def make_database(plan: Plan, site: str) -> patroni.Member:
    """Make the service's database and role and the heartbeat's table, on the site's leader.

    The password of a role that is there stays what it is: the service may be using it.

    Returns:
        the leader.

    Raises:
        Transient: there is no leader, or it takes no writes.
    """
    leader = _writable_leader(plan, site)
    name = plan.service.database
    with postgres.connected(plan, leader.host, database="postgres", timeout=10) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", (SERVICE_ROLE,)).fetchone():
            _create_role(connection, plan.secret("database_service"))
        if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with postgres.connected(plan, leader.host, timeout=10) as connection:
        connection.execute(_HEARTBEAT)
    return leader


def _create_role(connection: psycopg.Connection[Any], password: str) -> None:
    # A statement may end in the server's log: it has no password in it, only what verifies one.
    verifier = connection.pgconn.encrypt_password(password.encode(), SERVICE_ROLE.encode(), b"scram-sha-256")
    made = sql.SQL("create role {} login password {}")
    connection.execute(made.format(sql.Identifier(SERVICE_ROLE), verifier.decode()))


def _writable_leader(plan: Plan, site: str) -> patroni.Member:
    leader = patroni.leader(plan, site)
    if postgres.position(plan, leader.host, database="postgres").in_recovery:
        raise Transient(
            f"{leader.name} is still in recovery", hint="wait until it is promoted, then try again"
        )
    return leader
