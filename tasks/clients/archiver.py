"""What a primary tells about its WAL and its archiver.

Source: PostgreSQL manual, "pg_stat_archiver", "Backup Control Functions", "Generic File Access Functions".
"""

from tasks.clients.layout import Layout
from tasks.clients.postgres import Row, connected
from tasks.clients.remote import run_on
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_ARCHIVER = """
select failed_count, last_archived_time, last_failed_time, coalesce(last_failed_wal, '') as last_failed_wal,
       coalesce(last_archived_wal, '') as last_archived_wal, waiting, waiting_s,
       extract(epoch from clock_timestamp() - greatest(last_archived_time, pg_postmaster_start_time()))::float
           as idle_s,
       current_setting('archive_mode') as mode,
       coalesce(nullif(current_setting('archive_library', true), ''), current_setting('archive_command'))
           as command,
       (select system_identifier from pg_control_system()) as system
from pg_stat_archiver,
     (select count(*) as waiting,
             coalesce(greatest(0, extract(epoch from clock_timestamp() - min(modification))), 0)::float
                 as waiting_s
      from pg_ls_archive_statusdir() where name like '%.ready') as ready
"""
_WAL = """
with now as (select pg_current_wal_lsn() as lsn)
select lsn::text, left(pg_walfile_name(lsn), 8) as timeline,
       (select setting::bigint from pg_settings where name = 'wal_segment_size') as segment_size,
       pg_read_file('pg_wal/' || left(pg_walfile_name(lsn), 8) || '.history', 0, 65536, true) as history
from now
"""


def primary_row(plan: Plan, address: str) -> Row:
    """What a primary tells of its WAL and its archiver, in one look.

    The write position, the timeline in hexadecimal, the segment size in bytes, the history's text; the
    archiver's counters, times and settings, how many files wait for it, and the seconds the oldest has.

    Raises:
        Transient, Permanent: see `connected`; Permanent on a standby, which has no write position.
    """
    with connected(plan, address) as connection:
        rows = [connection.execute(query).fetchone() or {} for query in (_WAL, _ARCHIVER)]
    if not all(rows):
        raise Permanent(f"PostgreSQL at {address} told nothing")
    return rows[0] | rows[1]


def switch_wal(plan: Plan, address: str) -> str:
    """Begin a new segment; returns the name of the one that ended.

    A restore point goes before: on an idle primary there would be nothing to switch.

    Raises:
        Transient, Permanent: see `connected`.
    """
    with connected(plan, address) as connection:
        connection.execute("select pg_create_restore_point('naas-dr check')")
        row = connection.execute("select pg_walfile_name(pg_switch_wal()) as name").fetchone()
    if row is None:
        raise Permanent(f"PostgreSQL at {address} told nothing")
    return str(row["name"])


def free_bytes(plan: Plan, site: str, host: str) -> int:
    """The bytes that PostgreSQL may still write on the file system that holds its WAL.

    Raises:
        Transient: the host cannot be reached.
        Permanent: df tells nothing of it.
    """
    # pg_wal may be a link to another file system: df follows it.
    path = Layout.of(plan, site, host).data_dir / "pg_wal"
    address = str(plan.sites[site].hosts[host].address)
    told = run_on(plan, address, ["df", "-PB1", str(path)], timeout=10)
    fields = told.strip().splitlines()[-1].split() if told.strip() else []
    if len(fields) < 4 or not fields[3].isdigit():
        raise Permanent(f"df on {host} tells no free space", told[:200])
    return int(fields[3])
