"""PostgreSQL, straight to a node: what it knows about itself, and proof that it takes a write."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tasks.clients.telemetry.spans import called
from tasks.clients.telemetry.threads import Threads
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan

Row = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """Where a node stands.

    Attributes:
        lsn: the last WAL position it wrote (primary), or received and replayed (standby).
        next_xid: on a primary, no transaction id from this one on was given out; on a standby, no more
            transactions are unknown to it than ids from this one on.
        at: its clock.
        last_commit: when the last transaction it knows of was committed.
        timeline: the timeline it is on.
        in_recovery: whether it is a standby.
    """

    lsn: str
    next_xid: int
    at: datetime
    last_commit: datetime | None
    timeline: int
    in_recovery: bool


# A snapshot ends at the last id that ended. Beyond it a primary has given out ids to those under way; below
# it, a standby may still miss the commits of as many as a primary has connections.
_POSITION = """
select coalesce(case when pg_is_in_recovery()
                     then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                     else pg_current_wal_lsn() end, '0/0')::text as lsn,
       case when pg_is_in_recovery() then xmax - least(xmax - xmin, current_setting('max_connections')::int)
            else greatest(xmax, (select max((xmax >> 32 << 32) + backend_xid::text::bigint) + 1
                                 from pg_stat_activity)) end as next_xid,
       clock_timestamp() as at,
       case when pg_is_in_recovery() then pg_last_xact_replay_timestamp()
            else (pg_last_committed_xact()).timestamp end as last_commit,
       coalesce(case when pg_is_in_recovery() then (select received_tli from pg_stat_wal_receiver)
                     else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
                (select timeline_id from pg_control_checkpoint())) as timeline,
       pg_is_in_recovery() as in_recovery
from (select pg_snapshot_xmin(taken)::text::bigint as xmin, pg_snapshot_xmax(taken)::text::bigint as xmax
      from pg_current_snapshot() as taken) as snapshot
"""


@contextmanager
def connected(
    plan: Plan, address: str, *, database: str | None = None, timeout: float = 5.0
) -> Iterator[psycopg.Connection[Row]]:
    """A superuser's connection to one node.

    Args:
        plan: names the database and the password.
        address: the node.
        database: another database than the service's.
        timeout: seconds for connecting (at least 2, libpq's minimum) and for each statement.

    Raises:
        Transient: it does not answer, or the statement failed for a passing reason.
        Permanent: it refused the password or the statement.
    """
    known = {"db.system": "postgresql", "server.address": address}
    try:
        with (
            called(f"postgresql {address}", known),
            psycopg.connect(
                host=address,
                port=5432,
                dbname=database or plan.service.database,
                user="postgres",
                password=plan.secret("database_superuser"),
                connect_timeout=max(2, int(timeout)),
                options=f"-c statement_timeout={int(timeout * 1000)}",
                application_name="naas-dr",
                autocommit=True,
                row_factory=dict_row,
            ) as connection,
        ):
            yield connection
    except psycopg.errors.InvalidPassword as error:
        raise Permanent(f"PostgreSQL at {address} refused the password", str(error).strip()) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise Permanent(f"PostgreSQL at {address} is read-only", str(error).strip()) from error
    except psycopg.OperationalError as error:
        raise Transient(f"PostgreSQL at {address} does not answer", str(error).strip()) from error
    except psycopg.Error as error:
        raise Permanent(f"PostgreSQL at {address} refused a statement", str(error).strip()) from error


def position(plan: Plan, address: str, *, database: str | None = None, timeout: float = 5.0) -> Position:
    """Where a node stands now.

    Raises:
        Transient, Permanent: see `connected`.
    """
    with connected(plan, address, database=database, timeout=timeout) as connection:
        row = connection.execute(_POSITION).fetchone()
    if row is None:
        raise Permanent(f"PostgreSQL at {address} gave no position")
    return Position(**row)


def writable(plan: Plan, addresses: Sequence[str]) -> list[str]:
    """Those of some nodes that take a write."""
    if not addresses:
        return []
    with Threads(len(addresses)) as pool:
        took = pool.map(lambda address: _takes_writes(plan, address), addresses)
        return [address for address, ok in zip(addresses, took, strict=True) if ok]


def prove_write(plan: Plan, address: str, note: str) -> datetime:
    """Write one row and read it back: the only proof that a node is a primary.

    Args:
        plan: the plan.
        address: the node.
        note: what the write is for; kept in the row.

    Returns:
        the node's clock at the write.

    Raises:
        Transient: the node does not answer.
        Permanent: the node is read-only, or refused.
    """
    with connected(plan, address) as connection:
        row = connection.execute(
            "insert into naas_dr.heartbeat (id, note, at) values (1, %s, clock_timestamp()) "
            "on conflict (id) do update set note = excluded.note, at = excluded.at returning at",
            (note,),
        ).fetchone()
    if row is None:
        raise Permanent(f"PostgreSQL at {address} took a write but did not return it")
    at: datetime = row["at"]
    return at


def _takes_writes(plan: Plan, address: str) -> bool:
    try:
        prove_write(plan, address, "is it alive")
    except DrError:
        return False
    return True


def refuses_writes(plan: Plan, address: str, *, timeout: float = 2.0) -> bool:
    """Whether a node says that it is read-only to a write that is tried on it.

    Raises:
        Transient, Permanent: see `connected`; it was not this that kept it from writing.
    """
    try:
        with connected(plan, address, timeout=timeout) as connection:
            connection.execute("update naas_dr.heartbeat set at = clock_timestamp()")
    except Permanent as error:
        if isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction):
            return True
        raise
    return False


def receivers(plan: Plan, address: str) -> set[str]:
    """The names of the nodes that stream WAL from a node now.

    Raises:
        Transient, Permanent: see `connected`.
    """
    with connected(plan, address) as connection:
        rows = connection.execute(
            "select application_name as name from pg_stat_replication where state = 'streaming'"
        ).fetchall()
    return {row["name"] for row in rows}


def checkpoint(plan: Plan, address: str, *, timeout: float = 60.0) -> None:
    """Have a node write its dirty pages, so that the clean stop that follows is short.

    Raises:
        Transient, Permanent: see `connected`.
    """
    with connected(plan, address, timeout=timeout) as connection:
        connection.execute("checkpoint")


# A checkpoint's record with the page header that may divide it is shorter, one with any other more is longer.
_ONE_CHECKPOINT = 168
_ENDS_CLEANLY = """
select pg_last_wal_replay_lsn()::text as lsn
from pg_control_checkpoint()
where pg_is_in_recovery() and redo_lsn = checkpoint_lsn
  and pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()
  and pg_last_wal_replay_lsn() - checkpoint_lsn <= %s
"""


def clean_end(plan: Plan, address: str, *, timeout: float = 5.0) -> str | None:
    """The position at which a primary stopped cleanly, where a standby has all of its WAL up to that.

    The last record of a clean stop is a checkpoint that, unlike one of a running server, begins where it
    lies. A standby tells of the last one that it has replayed after a checkpoint of its own.

    Returns:
        the position, or None where the last record is another, or the node is no standby.

    Raises:
        Transient, Permanent: see `connected`.

    Source: PostgreSQL manual, "WAL Configuration", restartpoints; "pg_control_checkpoint".
    """
    with connected(plan, address, timeout=timeout) as connection:
        connection.execute("checkpoint")
        row = connection.execute(_ENDS_CLEANLY, [_ONE_CHECKPOINT]).fetchone()
    return str(row["lsn"]) if row else None


@dataclass(frozen=True)
class Fork:
    """Where a node's timeline left its parent."""

    timeline: int
    parent: int
    lsn: str


def fork(plan: Plan, address: str, left: int = 0) -> Fork:
    """Where a primary's history left a timeline: since then it may have gone on through others.

    Args:
        plan: the plan.
        address: the primary.
        left: that timeline; where it is not in the history, the last one left.

    Raises:
        Transient, Permanent: see `connected`; Permanent also where the timeline has no parent.

    Source: PostgreSQL manual, "Continuous Archiving: Timelines".
    """
    timeline = position(plan, address).timeline
    with connected(plan, address) as connection:
        row = connection.execute(
            "select pg_read_file('pg_wal/' || lpad(upper(to_hex(%s::int)), 8, '0') || '.history') as text",
            (timeline,),
        ).fetchone()
    return fork_in((row or {}).get("text") or "", timeline, left)


def fork_in(history: str, timeline: int, left: int) -> Fork:
    """The line of a timeline's history that tells where another was left, its last where none tells that.

    Raises:
        Permanent: it has no line.
    """
    lines = [line.split() for line in history.splitlines() if line.strip()]
    known = [(int(parent), lsn) for parent, lsn, *_ in lines]
    if not known:
        raise Permanent(f"timeline {timeline} has no parent")
    return Fork(timeline, *next((each for each in known if each[0] == left), known[-1]))
