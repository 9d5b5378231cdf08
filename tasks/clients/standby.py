"""A standby whose upstream is gone: where it stands, and having it read what its archive has.

A standby asks its archive only when its WAL receiver has ended, and then every wal_retrieve_retry_interval
(5 s). The receiver of an upstream that is silent ends after wal_receiver_timeout (10 s); its successor, which
connects to an address that nobody answers for, counts as streaming until TCP gives up, which takes minutes.
pg_terminate_backend() does not reach a receiver, which is no backend; a signal does. Reloading the
configuration wakes a standby that waits for its next try.

Source: PostgreSQL manual, "Log-Shipping Standby Servers: Standby Server Operation"; PostgreSQL source,
`xlogrecovery.c` (WaitForWALToBecomeAvailable) and `xlogarchive.c` (KeepFileRestoredFromArchive).
"""

import time
from dataclasses import dataclass

from psycopg import Connection

from tasks.clients.postgres import Position, Row, connected, position
from tasks.clients.remote import run_on
from tasks.clients.walnames import Segment, parse_lsn
from tasks.errors import Permanent
from tasks.plan.plan import Plan

# The newest timeline of which it has WAL: the control file tells that of its last checkpoint only.
_STANDS = """
select (select max(('x' || left(name, 8))::bit(32)::int) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$')
           as timeline,
       (select setting::bigint from pg_settings where name = 'wal_segment_size') as segment_bytes
"""
# A segment that was received or restored to its end is marked as done.
_PROGRESS = """
select coalesce(pg_last_wal_replay_lsn(), '0/0')::text as replayed,
       exists (select from pg_ls_archive_statusdir() where name = %s) as is_whole,
       (select wait_event in ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')
        from pg_stat_activity where backend_type = 'startup') as has_read_all
"""
_RECEIVER = "select pid from pg_stat_activity where backend_type = 'walreceiver'"
_POLL_S = 0.05
_PATIENCE_S = 2.0
_SHELL_S = 10.0


@dataclass(frozen=True)
class Standby:
    """A node and where it stands.

    Attributes:
        position: received or replayed.
        timeline: the timeline it is on.
        segment_bytes: the size of its segments.
    """

    position: Position
    timeline: int
    segment_bytes: int


def look(plan: Plan, address: str) -> Standby:
    """Where a node stands now; whether it is a standby at all, its position tells.

    Raises:
        Transient, Permanent: see `connected`.
    """
    stands = position(plan, address)
    with connected(plan, address) as connection:
        row = connection.execute(_STANDS).fetchone()
    if row is None or row["timeline"] is None:
        raise Permanent(f"PostgreSQL at {address} tells nothing of its WAL")
    return Standby(stands, row["timeline"], row["segment_bytes"])


def read_archive(plan: Plan, address: str, last: Segment, segment_bytes: int, within: float) -> bool:
    """Have a standby read its archive to the end of a segment, and wait until it has.

    Its position may stay short of that end: a record that goes on in the next segment is not replayed.

    Args:
        plan: the plan.
        address: the standby.
        last: the segment.
        segment_bytes: the size of one.
        within: seconds.

    Returns:
        whether it has read it all in time.

    Raises:
        Transient, Permanent: see `connected` and `run_on`.
    """
    done, end = f"{last.name(segment_bytes)}.done", last.end(segment_bytes)
    deadline = time.monotonic() + within
    before, was_whole, asked = 0, False, -_PATIENCE_S
    with connected(plan, address) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(_PROGRESS, (done,)).fetchone() or {}
            replayed = parse_lsn(row["replayed"])
            through = was_whole and row["has_read_all"] and replayed >= end - segment_bytes
            if through or replayed >= end:
                return True
            # What waited for WAL before the segment was whole may have waited for this very segment.
            was_whole = row["is_whole"]
            if replayed == before and time.monotonic() - asked > _PATIENCE_S:
                _ask(plan, address, connection)
                asked = time.monotonic()
            before = replayed
            time.sleep(_POLL_S)
    return False


def _ask(plan: Plan, address: str, connection: Connection[Row]) -> None:
    """Send a standby to its archive now."""
    receiver = connection.execute(_RECEIVER).fetchone()
    if receiver is None:
        connection.execute("select pg_reload_conf()")
        return
    # It may end by itself meanwhile.
    end = 'kill "$1" || ! kill -0 "$1"'
    run_on(plan, address, ["sh", "-c", end, "sh", str(receiver["pid"])], timeout=_SHELL_S)
