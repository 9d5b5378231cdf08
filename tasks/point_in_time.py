"""Recovery from human error: a moment restored beside, compared with the live database, tables brought back.

No row of the live database is ever overwritten.
Source: seed, "Recovery Point Objective"; PostgreSQL manual, "Recovery Target Settings".
"""

import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients import archiver, held, patroni, postgres, tables
from tasks.clients.digests import Digests, digests_of
from tasks.clients.objects import Bucket
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.clients.sealed_objects import put_sealed
from tasks.clients.tables import Table
from tasks.clients.truth import active_site
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.point_in_time import Rescued, TableDifference
from tasks.plan.plan import Plan
from tasks.policy.database_backup import choose_standby
from tasks.policy.point_in_time import (
    choose_tables,
    differences,
    require_action,
    require_reach,
    rescued_words,
    schema_of,
)
from tasks.retry import retried

_FOLDER = "recovered"
_STORE_S = 120.0
_POLL_S = 0.5
# A segment may have been stored so long after its last commit.
_LATE = timedelta(minutes=10)


@retried("see that the moment can be reached", times=3, delay=2)
def require_moment(
    plan: Plan, from_site: str | None, at: datetime, action: str, wanted: Sequence[str]
) -> None:
    """Refuse what cannot be done before anything is touched; see that the WAL beyond the moment is there.

    A recovery ends at a moment only where a later commit is in the WAL. So where the moment is younger than
    the newest segment of the copy, one is written, and its segment waited for.

    Raises:
        Refused: no such action, a moment that is not past or before the first backup, or no copy there.
        Transient: the store or the primary does not answer.
        Permanent: the segment does not arrive in time.
    """
    require_action(action, wanted)
    source = from_site or active_site(plan)
    if source not in plan.sites:
        raise Refused(f"there is no site {source}", f"the plan's sites: {', '.join(plan.sites)}")
    found = held.look(plan, source)
    require_reach(min(found.ends, default=None), at, datetime.now(UTC))
    if found.stored_at is None or at >= found.stored_at - _LATE:
        _push(plan, source, found.newest_wal)


@retried("read the live database", delay=10)
def live_digests(plan: Plan) -> Digests:
    """Every table of the active site's database, read from a standby where one follows closely.

    Raises:
        Permanent: a table cannot be read.
        Transient: no node answers.
    """
    site = active_site(plan)
    members = patroni.members(plan, site)
    return digests_of(Psql(plan, site, choose_standby(members) or patroni.leader(plan, site).name))


@task(name="compare table by table", cache_policy=NO_CACHE)
def compare(then: Digests, now: Digests, at: datetime) -> tuple[TableDifference, ...]:
    """Show how every table differs between the moment and now."""
    found = differences(then, now)
    rows = "".join(
        f"|{each.table}|{_count(each.then)}|{_count(each.now)}|{each.verdict}|\n" for each in found
    )
    create_markdown_artifact(
        key="point-in-time",
        description=f"the database at {at.isoformat()} and now",
        markdown=f"|table|rows then|rows now|verdict|\n|-|-|-|-|\n{rows}",
    )
    return found


@task(name="export tables", cache_policy=NO_CACHE)
def export(
    plan: Plan,
    where: tuple[str, str, Path],
    found: Sequence[TableDifference],
    wanted: Sequence[str],
    at: datetime,
) -> list[Rescued]:
    """Dump tables of the moment into the active site's bucket, sealed to the recovery recipients.

    Args:
        plan: the plan.
        where: the site, host and directory of the open copy.
        found: how the tables differ.
        wanted: their names.
        at: the moment.

    Raises:
        Refused: a table was not there at the moment.
        Permanent: a table cannot be dumped, or the store refuses.
        Transient: the store or the host does not answer.
    """
    site, server = active_site(plan), PrivateServer(plan, *where)
    bucket = Bucket.owned(plan, site, _STORE_S)
    done = []
    for each in choose_tables(found, wanted):
        key = f"{_FOLDER}/{schema_of(at)}/{each.table.replace('/', '.')}.dump.age"
        put_sealed(plan, bucket, key, tables.dump(server, Table(each.database, each.name)))
        command = (
            f"age -d -i RECOVERY_KEY {shlex.quote(key.rpartition('/')[2])} "
            f"| pg_restore --single-transaction --exit-on-error -d {shlex.quote(each.database)}"
        )
        done.append(Rescued(each.table, each.then or 0, f"{bucket.name}/{key}", command))
    return done


@task(name="bring tables back", cache_policy=NO_CACHE)
def swap(
    plan: Plan,
    where: tuple[str, str, Path],
    found: Sequence[TableDifference],
    wanted: Sequence[str],
    at: datetime,
) -> list[Rescued]:
    """Bring tables of the moment into the live database: in place where they were dropped, else beside.

    Each comes into a schema of its own first, and is compared there. Where the live database has no table of
    that name it then takes its place; else it stays beside, without keys and triggers.

    Raises:
        Refused: a table was not there at the moment, or was brought back before.
        Permanent: the live database refused it, or holds something else than the moment did.
        Transient: a host does not answer.
    """
    site = active_site(plan)
    leader = patroni.leader(plan, site)
    live, schema = Psql(plan, site, leader.name), schema_of(at)
    chosen = [Table(each.database, each.name) for each in choose_tables(found, wanted)]
    for table in chosen:
        if tables.exists(live, table.within(schema)):
            raise Refused(f"{table.within(schema).name} is there already", hint="look at it, or rename it")
    server = PrivateServer(plan, *where)
    done: list[Rescued] = []
    for table in chosen:
        try:
            done.append(_brought(server, table, schema, live, leader.host))
        except DrError as error:
            raise error.adding(*rescued_words(done)) from error
    return done


def _brought(server: PrivateServer, table: Table, schema: str, live: Psql, address: str) -> Rescued:
    dropped = not tables.exists(live, table)
    expected = tables.digest_in(server.psql, table)
    apart = tables.move_apart(server, table, schema)
    tables.make_schema(live, table.database, schema)
    tables.bring(server, apart, address, whole=dropped)
    brought = tables.digest_in(live, apart)
    if brought != expected:
        raise Permanent(
            f"{apart.name} is not what {table.name} was", f"{brought.rows} rows, {expected.rows} expected"
        )
    if dropped:
        tables.move_home(live, apart, table)
    name = table.name if dropped else apart.name
    return Rescued(f"{table.database}/{table.name}", expected.rows, f"{table.database}/{name}")


def _push(plan: Plan, source: str, newest: str) -> None:
    """Have the primary write a commit and end its segment, and wait until the copy has that."""
    address = patroni.leader(plan, active_site(plan)).host
    postgres.prove_write(plan, address, "a commit behind the moment to recover to")
    ended = archiver.switch_wal(plan, address)
    patience_s = 60 + 12 * plan.recovery.pull_interval.total_seconds()
    deadline = time.monotonic() + patience_s
    while held.look(plan, source).newest_wal < ended:
        if time.monotonic() > deadline:
            hint = "is WAL archiving, or replication to this site, stuck? `dr run check_wal_archiving`"
            raise Permanent(f"segment {ended} is not at {source} after {patience_s:g} s", newest, hint)
        time.sleep(_POLL_S)


def _count(rows: int | None) -> str:
    return "" if rows is None else str(rows)
