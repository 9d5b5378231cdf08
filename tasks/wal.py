"""Look at WAL archiving: what the primary tells, and what the buckets of all sites hold."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import archiver, archives, patroni, pgbackrest, repository
from tasks.clients.copies import is_copy
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket, Entry
from tasks.clients.postgres import Row
from tasks.clients.telemetry.threads import Threads
from tasks.clients.truth import active_site
from tasks.clients.walnames import parse_history, parse_lsn
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.archive import ArchivedFile, ArchiveFacts
from tasks.facts.archiver import ArchiverFact, BackupFact, PrimaryFact, PrimarySight, RepositoryFact
from tasks.plan.plan import Plan
from tasks.policy.archive_fold import Doubt, Fold, Sight
from tasks.policy.archiver import is_stuck
from tasks.wal_limits import limits_of

T = TypeVar("T")
Archives = Mapping[str, ArchiveFacts | DrError]
# A store that does not answer must not hold up the look at the others.
_STORE_S = 4.0
_INFO_S = 60.0
_LOOKS_AT_STUCK = 6


@task(name="look at the primary", cache_policy=NO_CACHE)
def look_at_primary(plan: Plan) -> PrimarySight:
    """Ask the active primary for its position, archiver and free disk, and its pgBackRest for the backups.

    What cannot be asked is unknown: it becomes a finding, so that the buckets are looked at all the same.

    Raises:
        Transient: the active site cannot be told.
    """
    site = active_site(plan)
    node = _known(lambda: patroni.leader(plan, site))
    if node is None:
        return PrimarySight(site, datetime.now(UTC))
    with Threads(1) as pool:
        free = pool.submit(_known, lambda: archiver.free_bytes(plan, site, node.name))
        told, refusal = _info(plan, site, node.name)
    # After the backups, so that no backup needs WAL that the primary had not written yet.
    return replace(
        _asked(plan, site, node.host),
        repository=RepositoryFact.of(told) if told else None,
        refusal=refusal,
        free=free.result(),
        planned=f"{Layout.of(plan, site, node.name).pgbackrest} archive-push %p",
    )


@task(name="look at the primary again", cache_policy=NO_CACHE)
def look_again(plan: Plan, before: PrimarySight) -> PrimarySight:
    """Ask the same primary once more; where its archiver seems stuck, a few times, until it moves."""
    seen = _again(plan, before.site)
    for _ in range(_LOOKS_AT_STUCK):
        if not (
            before.archiver and seen.archiver and is_stuck(before.archiver, seen.archiver, limits_of(plan))
        ):
            break
        time.sleep(1)
        seen = _again(plan, before.site)
    return seen


@task(name="switch WAL", cache_policy=NO_CACHE)
def switch_wal(plan: Plan) -> str:
    """Let the primary end its segment and wait until its archiver moves: proof on an idle primary.

    Whether it did, and whether what it called archived is stored, is for the check that follows.

    Returns:
        the name of the segment that ended.

    Raises:
        Transient, Permanent: the primary cannot be asked.
    """
    node = patroni.leader(plan, active_site(plan))
    before = archiver.primary_row(plan, node.host)
    ended = archiver.switch_wal(plan, node.host)
    deadline = time.monotonic() + limits_of(plan).stuck.total_seconds()
    while time.monotonic() < deadline:
        now = archiver.primary_row(plan, node.host)
        if now["last_archived_wal"][:24] >= ended or now["failed_count"] > before["failed_count"]:
            break
        time.sleep(0.2)
    return ended


@task(name="list the WAL archives", cache_policy=NO_CACHE)
def list_archives(plan: Plan, seen: PrimarySight) -> Archives:
    """List every site's archive, side by side; a store that does not answer is told as its error."""
    buckets = {site: Bucket.readable(plan, site, _STORE_S) for site in plan.sites}
    stanza = plan.postgresql_ha.cluster_name
    mine = seen.repository.database_of(seen.primary) if seen.repository else None
    trees, failed = _trees(buckets, stanza, mine.name if mine else None)
    reference = seen.site if seen.site in trees else next(iter(trees), seen.site)
    sight = Sight(reference, seen.primary, _watched(seen), datetime.now(UTC), patience=_patience(plan))
    fold = Fold(sight, trees)
    for folder in archives.side_by_side(buckets, trees, failed):
        fold.add({site: [_file(entry) for entry in entries] for site, entries in folder.items()})
    for doubt in fold.doubtful:
        if not _is_copied(doubt, buckets, trees, seen.site):
            fold.differs(doubt)
    compared = reference == seen.site and reference not in failed
    answered = [site for site in trees if site not in failed]
    kept = {site: _kept(buckets[site], stanza, seen.repository) for site in answered}
    facts = {
        site: ArchiveFacts(
            stanza, trees[site].stanzas, backups=kept[site], primary=seen.primary, seen_at=sight.seen_at,
            compared=compared, **fold.facts(site),
        )
        for site in answered
    }  # fmt: skip
    return {site: facts.get(site) or failed[site] for site in plan.sites}


def _patience(plan: Plan) -> timedelta:
    """How long a segment may be on its way; one that is lost within it, the next pull copies again."""
    late: timedelta = max(timedelta(minutes=2), 6 * plan.recovery.pull_interval)
    return late


def _trees(
    buckets: Mapping[str, Bucket], stanza: str, database: str | None
) -> tuple[dict[str, archives.Tree], dict[str, DrError]]:
    def look(site: str) -> archives.Tree | DrError:
        return archives.answered(lambda: archives.tree(buckets[site], stanza, database))

    with Threads(len(buckets)) as pool:
        seen = dict(zip(buckets, pool.map(look, buckets), strict=True))
    trees = {site: each for site, each in seen.items() if isinstance(each, archives.Tree)}
    return trees, {site: each for site, each in seen.items() if isinstance(each, DrError)}


def _watched(seen: PrimarySight) -> frozenset[str]:
    mine = seen.repository.database_of(seen.primary) if seen.repository else None
    names = {mine.newest_wal} if mine else set()
    if seen.archiver:
        names |= {seen.archiver.last_archived_wal, seen.archiver.last_failed_wal}
    return frozenset(names - {""})


def _is_copied(
    doubt: Doubt, buckets: Mapping[str, Bucket], trees: Mapping[str, archives.Tree], active: str
) -> bool:
    """Whether an ETag differs only because the store that made the copy counts it in another way."""
    others = sorted(doubt.everywhere.keys() - {doubt.site}, key=lambda site: site != active)
    copy, origin = (others[0], doubt.site) if doubt.site == active else (doubt.site, others[0])
    original = doubt.everywhere[origin]
    key = f"{trees[copy].folders[doubt.name[:16]]}/{doubt.name}"
    entry = Entry(key, original.size, original.etag, original.modified)
    return bool(_known(lambda: is_copy(buckets[copy], entry)))


def _kept(bucket: Bucket, stanza: str, seen: RepositoryFact | None) -> tuple[BackupFact, ...] | None:
    if seen is None:
        return None
    labels = [each.label for each in seen.backups]
    complete = _known(lambda: archives.complete_backups(bucket, stanza, labels))
    return None if complete is None else tuple(each for each in seen.backups if each.label in complete)


def _file(entry: Entry) -> ArchivedFile:
    return ArchivedFile(entry.key.rpartition("/")[2], entry.size, entry.modified, entry.etag)


def _again(plan: Plan, site: str) -> PrimarySight:
    node = _known(lambda: patroni.leader(plan, site))
    return _asked(plan, site, node.host) if node else PrimarySight(site, datetime.now(UTC))


def _asked(plan: Plan, site: str, address: str) -> PrimarySight:
    row = _known(lambda: archiver.primary_row(plan, address))
    now = datetime.now(UTC)
    return PrimarySight(site, now, _primary(row), _archiver(row)) if row else PrimarySight(site, now)


def _info(plan: Plan, site: str, host: str) -> tuple[dict[str, Any] | None, str]:
    """What pgBackRest tells of its repository, or why it refuses to; neither where the store is not up.

    It would wait far longer for a store than anyone for this check.
    """
    probe = Bucket.readable(plan, site, _STORE_S)
    if _known(lambda: probe.children(repository.ROOT)) is None:
        return None, ""
    try:
        return pgbackrest.info(plan, site, host, timeout=_INFO_S), ""
    except Permanent as error:
        return None, f"{error.message}: {error.detail}"
    except DrError:
        return None, ""


def _known(ask: Callable[[], T]) -> T | None:
    """What is answered at the first or, after a passing failure, at the second asking."""
    try:
        return ask()
    except Transient:
        pass
    except DrError:
        return None
    try:
        return ask()
    except DrError:
        return None


def _primary(row: Row) -> PrimaryFact:
    timeline, text = int(row["timeline"], 16), row["history"]
    history = parse_history(text) if text else () if timeline == 1 else None
    return PrimaryFact(timeline, parse_lsn(row["lsn"]), history, row["segment_size"], row["system"])


def _archiver(row: Mapping[str, Any]) -> ArchiverFact:
    return ArchiverFact(
        failed_count=row["failed_count"],
        last_archived_at=row["last_archived_time"],
        last_failed_at=row["last_failed_time"],
        last_failed_wal=row["last_failed_wal"],
        waiting=row["waiting"],
        last_archived_wal=row["last_archived_wal"],
        waiting_s=row["waiting_s"],
        idle_s=row["idle_s"],
        mode=row["mode"],
        command=row["command"],
    )
