"""Restoring the database beside what runs, opening it in private, and looking at every row of it.

Nothing here ever touches Patroni's data directory: putting a restored copy into service is a decision.
Source: pgBackRest command reference, "Restore Command"; PostgreSQL manual, "pg_amcheck".
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients import pgbackrest
from tasks.clients.digests import Digests, digests_of
from tasks.clients.layout import Layout
from tasks.clients.pgbackrest_command import answering_host, recovery_secrets
from tasks.clients.pgbackrest_log import share_done
from tasks.clients.private import PrivateServer
from tasks.clients.truth import active_site
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.backups import Damage, Verified
from tasks.facts.place import Place
from tasks.facts.point_in_time import Rescued
from tasks.plan.plan import Plan
from tasks.policy.database_restore import recovery_gap
from tasks.policy.point_in_time import rescued_words
from tasks.progress import shown
from tasks.retry import retried

_RESTORE_S = 12 * 3600
_HISTORY = "select pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history')"
_REACHED = "select coalesce(pg_last_xact_replay_timestamp() at time zone 'UTC' || 'Z', '')"
_SIZE = "select sum(pg_database_size(oid)) from pg_database"


@dataclass(frozen=True)
class Restored:
    """A copy that was restored, opened and read.

    Attributes:
        place: where.
        reached: when the last transaction it recovered was committed; None where it replayed none.
        end: where its recovery ended, as PostgreSQL's timeline history tells it: parent timeline and LSN.
        bytes: the size of its databases.
        recover_s: the seconds from its start until it had recovered.
        digests: every table's rows and the sum of their hashes.
    """

    place: Place
    reached: datetime | None
    end: tuple[int, str]
    bytes: int
    recover_s: float = 0.0
    digests: Digests = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(each.rows for each in self.digests.values())


def choose_place(  # noqa: PLR0913 -- what an operator may choose
    plan: Plan,
    from_site: str | None,
    host: str | None,
    into: str | None,
    *,
    keep: bool,
    now: datetime,
    scratch: str = "dr-restore",
) -> Place:
    """The copy to restore from and the directory to restore into, which must be free.

    Where none is given and nothing is kept, it is `scratch` beside the live one, and what a killed run left
    there goes when it is restored into. Each flow has one of its own, and `restoring` lets in one run of it.

    Raises:
        Refused: there is no such site or host, or the directory is in use, or is a live one.
        Transient: no database host answers.
    """
    source = from_site or active_site(plan)
    if source not in plan.sites:
        raise Refused(f"there is no site {source}", f"the plan's sites: {', '.join(plan.sites)}")
    where = _host_of(plan, host) if host else answering_host(plan, source)
    live = Layout.of(plan, *where).data_dir
    name = f"dr-restored-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}" if keep else scratch
    directory = Path(into) if into else live.with_name(name)
    if (
        not directory.is_absolute()
        or directory == live
        or directory in live.parents
        or live in directory.parents
    ):
        raise Refused(
            f"{directory} is no place for a restored copy",
            f"{live} is the live data directory",
            "give an absolute path beside it",
        )
    place = Place(source, *where, directory)
    if (into or keep) and not _server(plan, place).is_free():
        raise Refused(f"{directory} on {place.host} is not empty", hint="give another, or empty it yourself")
    return place


@retried("restore the database beside", times=2, delay=10)
def restore_files(
    plan: Plan,
    place: Place,
    label: str | None = None,
    at: datetime | None = None,
    lsn: str | None = None,
) -> None:
    """Restore a backup's files, for a recovery to a moment, or to everything before a WAL position.

    Raises:
        Permanent: pgBackRest failed.
        Transient: the host cannot be reached.
    """
    if not _server(plan, place).is_free():
        # Of a first attempt, or of a run that was killed; any other place was free when it was chosen.
        _server(plan, place).stop(remove=True)
    _restore(plan, place, label, at, lsn)


@task(name="open the restored database", cache_policy=NO_CACHE)
def open_restored(plan: Plan, place: Place, *, keep: bool = False) -> Restored:
    """Recover the copy to its end, check every table and index, and read every row.

    Args:
        plan: the plan.
        place: where it was restored to.
        keep: whether it will be used: what it writes then reaches the disk.

    Raises:
        Permanent: it does not start, does not reach its target, or is corrupt.
        Transient: the host cannot be reached.
    """
    return _open(plan, place, keep=keep)


@task(name="put the restored database away", cache_policy=NO_CACHE)
def put_away(plan: Plan, place: Place, *, keep: bool) -> None:
    """Stop the private server, and remove its directory unless it is to be kept.

    Raises:
        Permanent: it cannot be stopped or removed.
        Transient: the host cannot be reached.
    """
    _server(plan, place).stop(remove=not keep)


@contextmanager
def restoring(
    plan: Plan, place: Place, *, keep: bool = False, rescued: Sequence[Rescued] = ()
) -> Iterator[None]:
    """Have the place for this run alone, and put the copy away at the end; the block's own error comes first.

    Args:
        plan: the plan.
        place: where it was restored to.
        keep: whether its directory stays.
        rescued: what the block brought back by its end, which the error must tell.

    Raises:
        Refused: another run restores there.
        Permanent, Transient: the block's own error, or that of `put_away`.
    """
    with _server(plan, place).claim():
        try:
            yield
        except BaseException as error:
            left = _not_put_away(plan, place, keep=keep)
            if left and isinstance(error, DrError):
                raise error.adding(f"nor was the copy put away: {left.seen}") from error
            raise
        if left := _not_put_away(plan, place, keep=keep):
            raise left.adding(*rescued_words(rescued)) from left


@task(name="tell what was restored", cache_policy=NO_CACHE)
def tell_restored(restored: Restored) -> None:
    """Show a restored copy's tables in an artifact."""
    rows = "".join(f"| {name} | {each.rows} | {each.sum} |\n" for name, each in restored.digests.items())
    create_markdown_artifact(
        key="restored-database",
        description=f"restored from {restored.place.from_site}",
        markdown=f"Recovered to LSN {restored.end[1]} of timeline {restored.end[0]}, last commit "
        f"{restored.reached}; {restored.bytes / 1e6:,.1f} MB.\n\n| table | rows | digest |\n|-|-|-|\n{rows}",
    )


@retried("start the newest database backup", times=2, delay=30)
def start_newest(plan: Plan, site: str) -> Verified:
    """Really restore and start a site's newest backup with all its WAL, check it, and remove it again.

    What is wrong with the copy is a damage in the result; only what keeps us from looking raises.

    Raises:
        Transient: no database host answers, or one was lost.
    """
    where = answering_host(plan, site)
    place = Place(site, *where, Layout.of(plan, *where).data_dir.with_name("dr-verify"))
    server = _server(plan, place)
    server.stop(remove=True)
    told = pgbackrest.info_of(plan, site)
    backups = told["backup"] if told else []
    newest = backups[-1]["label"] if backups else "pgbackrest"
    if not told or not backups:
        return _verified(site, [(newest, "there is no backup")])
    try:
        _restore(plan, place, None, None)
        restored = _open(plan, place, keep=False)
    except Permanent as error:
        return _verified(site, [(newest, f"{error.message}: {error.detail[-500:]}")])
    finally:
        server.stop(remove=True)
    gap = recovery_gap(told, restored.end)
    return _verified(site, [(newest, gap)] if gap else [], newest, restored.rows, restored.bytes)


def _restore(
    plan: Plan, place: Place, label: str | None, at: datetime | None, lsn: str | None = None
) -> None:
    with shown(f"restore from {place.from_site} to {place.host}") as told:

        def tell(line: str) -> None:
            share = share_done(line)
            if share is not None:
                told(share, 1)

        pgbackrest.restore(
            plan, place.from_site, (place.site, place.host), place.directory,
            label=label, target=at, lsn=lsn, timeout=_RESTORE_S, tell=tell,
        )  # fmt: skip


def _open(plan: Plan, place: Place, *, keep: bool) -> Restored:
    server = _server(plan, place, keep=keep)
    began = time.monotonic()
    server.start(timeout=_RESTORE_S, secrets=recovery_secrets(plan, place.from_site))
    recover_s = round(time.monotonic() - began, 3)

    def one(text: str) -> str:
        return "\n".join(server.psql.query(text, database="postgres"))

    last = [line.split() for line in one(_HISTORY).splitlines() if line.strip()][-1]
    reached = one(_REACHED)
    size = int(one(_SIZE))
    server.amcheck(timeout=_RESTORE_S)
    digests = digests_of(server.psql)
    when = datetime.fromisoformat(reached) if reached else None
    return Restored(place, when, (int(last[0]), last[1]), size, recover_s, digests)


def _not_put_away(plan: Plan, place: Place, *, keep: bool) -> DrError | None:
    try:
        put_away(plan, place, keep=keep)
    except DrError as error:
        return error
    return None


def _server(plan: Plan, place: Place, *, keep: bool = True) -> PrivateServer:
    scratch = {} if keep else {"fsync": "off", "full_page_writes": "off"}
    return PrivateServer(plan, place.site, place.host, place.directory, scratch)


def _host_of(plan: Plan, host: str) -> tuple[str, str]:
    found = [(site, host) for site in plan.sites if host in plan.sites[site].running("postgres")]
    if len(found) != 1:
        known = (name for site in plan.sites.values() for name in site.running("postgres"))
        raise Refused(f"{host} is no database host", f"the plan's: {', '.join(known)}")
    return found[0]


def _verified(
    site: str, damages: list[tuple[str, str]], label: str = "", rows: int = 0, size: int = 0
) -> Verified:
    return Verified(
        asset="database",
        site=site,
        at=datetime.now(UTC),
        method=f"{label or 'the newest backup'} restored with its WAL, started, pg_amcheck, {rows} rows read",
        objects=rows,
        bytes=size,
        damages=tuple(Damage("database", site, name, what) for name, what in damages),
    )
