"""What a primary tells about its WAL and its archiver.

Source: PostgreSQL manual, "pg_stat_archiver", "Backup Control Functions", "Generic File Access Functions".
"""

from typing import LiteralString

from tasks.clients.postgres import Row, connected
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_ARCHIVER = """
select failed_count, last_archived_time, last_failed_time, coalesce(last_failed_wal, '') as last_failed_wal,
       (select count(*) from pg_ls_archive_statusdir() where name like '%.ready') as waiting
from pg_stat_archiver
"""
_WAL = """
with now as (select pg_current_wal_lsn() as lsn)
select lsn::text, left(pg_walfile_name(lsn), 8) as timeline,
       (select setting::bigint from pg_settings where name = 'wal_segment_size') as segment_size,
       pg_read_file('pg_wal/' || left(pg_walfile_name(lsn), 8) || '.history', 0, 65536, true) as history
from now
"""


def archiver_row(plan: Plan, address: str) -> Row:
    """The archiver's counters and times, and how many segments wait for it.

    Raises:
        Transient, Permanent: see `connected`.
    """
    return _row(plan, address, _ARCHIVER)


def wal_row(plan: Plan, address: str) -> Row:
    """The write position, the timeline in hexadecimal, the segment size in bytes, and the history's text.

    Raises:
        Transient, Permanent: see `connected`; Permanent on a standby, which has no write position.
    """
    return _row(plan, address, _WAL)


def _row(plan: Plan, address: str, query: LiteralString) -> Row:
    with connected(plan, address) as connection:
        row = connection.execute(query).fetchone()
    if row is None:
        raise Permanent(f"PostgreSQL at {address} told nothing")
    return row
