"""A standby's rows at one exact WAL position, to hold a restored copy against.

A copy of the same cluster has each row in the same block, so both are read block range by block range, and
some of them are a sample of the same rows on both sides. Replay stands still for some milliseconds while
the snapshots are taken, and receiving WAL never does. Meanwhile a transaction on the primary keeps its vacuum
from the rows that are read: the standby would have to end the reading after max_standby_streaming_delay.
On the standby's host, who reads stands back for whatever else wants a processor or a disk.

Source: PostgreSQL manual, "Recovery Control Functions", "recovery_target_lsn", "Handling Query Conflicts";
renice(1); ionice(1); sched(7), "The autogroup feature".
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import LiteralString, NamedTuple

import psycopg

from tasks.clients import postgres
from tasks.clients.digests import DATABASES, SETTINGS, Digest
from tasks.clients.postgres import Row
from tasks.clients.remote import run_on
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_PAUSED_S, _FOLLOWS_S, _SHELL_S = 5.0, 30.0, 30.0
_SNAPSHOT = "begin transaction isolation level repeatable read read only"
_RANGE_BLOCKS = 4096
# What is read at a time: nobody else waits for a processor or a disk for longer than that takes.
_PIECE_BLOCKS = 128
# A backend is a session, and Linux may weigh sessions: then a process's own niceness counts within it only.
# It takes no second change of a session within a tenth of a second.
_STAND_BACK = """
set -eu
for pid; do
    renice -n 19 -p "$pid" >/dev/null
    ionice -c idle -p "$pid"
    [ ! -e "/proc/$pid/autogroup" ] || echo 19 >"/proc/$pid/autogroup"
    sleep 0.2
done
"""
_TABLES: LiteralString = """
select c.oid::regclass::text as name,
       (pg_relation_size(c.oid) / current_setting('block_size')::int)::int as blocks
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence = 'p'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by 1
"""


class Range(NamedTuple):
    """Some blocks of a table."""

    database: str
    table: str
    first: int
    end: int

    def pieces(self) -> list["Range"]:
        """The same blocks in ranges of a megabyte."""
        firsts = range(self.first, self.end, _PIECE_BLOCKS)
        return [self._replace(first=first, end=min(first + _PIECE_BLOCKS, self.end)) for first in firsts]

    @property
    def statement(self) -> str:
        """What counts and adds up the hashes of its rows; the table's name is as PostgreSQL quotes it."""
        where = f"ctid >= '({self.first},0)' and ctid < '({self.end},0)'"
        return (
            f"select count(*) as rows, coalesce(sum(hashtextextended(t::text, 0)), 0) as sum "  # noqa: S608
            f"from {self.table} t where {where}"
        )


@dataclass(frozen=True)
class Standpoint:
    """A standby at one position.

    Attributes:
        lsn: everything before it is seen, and nothing from it on.
        timeline: of that position.
        sessions: a transaction in each database, all of this moment.
    """

    lsn: str
    timeline: int
    sessions: Mapping[str, psycopg.Connection[Row]] = field(repr=False)

    def ranges(self) -> list[Range]:
        """Every table of every database, in ranges of some thousand blocks.

        Raises:
            Transient, Permanent: see `postgres.connected`.
        """
        found = []
        for database, session in self.sessions.items():
            for row in session.execute(_TABLES).fetchall():
                ends = range(0, max(1, row["blocks"]), _RANGE_BLOCKS)
                found += [Range(database, row["name"], first, first + _RANGE_BLOCKS) for first in ends]
        return found

    def digests(
        self, ranges: Sequence[Range], rest: float, tell: Callable[[int], None]
    ) -> dict[Range, Digest]:
        """Read ranges, one after the other, a megabyte at a time.

        Args:
            ranges: which.
            rest: for how long to rest after each megabyte, as a part of the time that it took.
            tell: told how many are done.

        Raises:
            Transient, Permanent: see `postgres.connected`; Transient too where replay had to end the reading.
        """
        found = {}
        for done, each in enumerate(ranges, 1):
            read = [self._read(piece, rest) for piece in each.pieces()]
            found[each] = Digest(sum(piece.rows for piece in read), sum(piece.sum for piece in read))
            tell(done)
        return found

    def _read(self, piece: Range, rest: float) -> Digest:
        began = time.monotonic()
        [row] = self.sessions[piece.database].execute(piece.statement.encode()).fetchall()
        time.sleep(rest * (time.monotonic() - began))
        return Digest(row["rows"], int(row["sum"]))


@contextmanager
def standing(plan: Plan, address: str, primary: str, *, timeout: float = 3600) -> Iterator[Standpoint]:
    """A standby's databases as they are at one position, for the block.

    Args:
        plan: the plan.
        address: the standby.
        primary: what it follows.
        timeout: seconds for each statement.

    Raises:
        Transient: one does not answer, or its replay is far behind, or does not stand still.
        Permanent: it is no standby, or its host does not let the reading stand back.
    """
    with ExitStack() as stack:
        control = stack.enter_context(postgres.connected(plan, address, database="postgres"))
        if not control.execute("select pg_is_in_recovery() as standby").fetchall()[0]["standby"]:
            raise Permanent(f"{address} is no standby")
        names = [row["datname"] for row in control.execute(DATABASES).fetchall()]
        sessions = {
            name: stack.enter_context(postgres.connected(plan, address, database=name, timeout=timeout))
            for name in names
        }
        for session in sessions.values():
            session.execute(SETTINGS)
        pids = [str(session.info.backend_pid) for session in sessions.values()]
        run_on(plan, address, ["sh", "-c", _STAND_BACK, "sh", *pids], timeout=_SHELL_S)
        _await_replay(control, address, stack.enter_context(_kept(plan, primary, names)))
        with _still(control, address):
            for session in sessions.values():
                session.execute(_SNAPSHOT)
                session.execute("select 1")  # the snapshot is taken by the first statement
            [at] = control.execute(_AT).fetchall()
        yield Standpoint(at["lsn"], at["timeline"], sessions)


_AT: LiteralString = """
select pg_last_wal_replay_lsn()::text as lsn,
       coalesce((select received_tli from pg_stat_wal_receiver),
                (select timeline_id from pg_control_checkpoint())) as timeline
"""


@contextmanager
def _kept(plan: Plan, primary: str, names: Sequence[str]) -> Iterator[str]:
    """No row of these databases that a primary shows now is removed; up to which position that is so."""
    with ExitStack() as stack:
        lsn = ""
        for name in names:
            session = stack.enter_context(postgres.connected(plan, primary, database=name))
            session.execute("set idle_in_transaction_session_timeout = 0")
            session.execute(_SNAPSHOT)
            [row] = session.execute("select pg_current_wal_flush_lsn()::text as lsn").fetchall()
            lsn = row["lsn"]
        yield lsn


def _await_replay(control: psycopg.Connection[Row], address: str, lsn: str) -> None:
    """A standby that is behind sees older rows than those that are kept."""
    deadline = time.monotonic() + _FOLLOWS_S
    there = "select pg_last_wal_replay_lsn() >= %s::pg_lsn as there"
    while not control.execute(there, [lsn]).fetchall()[0]["there"]:
        if time.monotonic() > deadline:
            raise Transient(f"{address} does not replay up to {lsn}")
        time.sleep(0.01)


@contextmanager
def _still(control: psycopg.Connection[Row], address: str) -> Iterator[None]:
    """Replay stands still; it goes on in any case, also where Patroni or a person resumes it first."""
    deadline = time.monotonic() + _PAUSED_S
    try:
        control.execute("select pg_wal_replay_pause()")
        while control.execute("select pg_get_wal_replay_pause_state() as s").fetchall()[0]["s"] != "paused":
            if time.monotonic() > deadline:
                raise Transient(f"replay at {address} does not stand still")
            time.sleep(0.01)
        yield
        if control.execute("select pg_get_wal_replay_pause_state() as s").fetchall()[0]["s"] != "paused":
            raise Transient(f"replay at {address} was resumed while its snapshots were taken")
    finally:
        control.execute("select pg_wal_replay_resume()")
