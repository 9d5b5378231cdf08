"""See that WAL archiving is real: what the buckets hold, against what the primary wrote."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients import archiver, patroni, pgbackrest, repository
from tasks.clients.objects import Bucket
from tasks.clients.truth import active_site
from tasks.clients.walnames import parse_history, parse_lsn
from tasks.errors import DrError, Permanent
from tasks.facts.archive import (
    ArchivedFile,
    ArchiveFacts,
    ArchiveLimits,
    ArchiverFact,
    BackupFact,
    Finding,
    PrimaryFact,
)
from tasks.plan.plan import Plan
from tasks.policy.archive import judge_archive, judge_archiver

T = TypeVar("T")


@dataclass(frozen=True)
class PrimarySight:
    """The active site's primary as it was seen; None for what could not be."""

    primary: PrimaryFact | None
    archiver: ArchiverFact | None
    backups: tuple[BackupFact, ...] | None


@task(name="look at the primary", cache_policy=NO_CACHE)
def look_at_primary(plan: Plan) -> PrimarySight:
    """Ask the active primary for its position and archiver, and pgBackRest for the kept backups.

    What cannot be asked is unknown: it becomes a finding, so that the buckets are looked at all the same.

    Raises:
        Transient: the active site cannot be told.
    """
    site = active_site(plan)
    node = _known(lambda: patroni.leader(plan, site))
    if node is None:
        return PrimarySight(None, None, None)
    return PrimarySight(
        primary=_known(lambda: _primary(archiver.wal_row(plan, node.host))),
        archiver=_known(lambda: _archiver(archiver.archiver_row(plan, node.host))),
        backups=_known(lambda: BackupFact.of(pgbackrest.info(plan, site, node.name))),
    )


@task(name="check a WAL archive", task_run_name="check the WAL archive of {site}", cache_policy=NO_CACHE)
def check_archive(plan: Plan, site: str, seen: PrimarySight) -> tuple[Finding, ...]:
    """List a site's repository and judge its WAL; a store that does not answer is a finding."""
    try:
        facts = archive_facts(Bucket.readable(plan, site), plan.postgresql_ha.cluster_name, seen)
    except DrError as error:
        return (Finding("archive", "unknown", error.message, error.hint),)
    return judge_archive(facts, _limits(plan))


@task(name="check the archiver", cache_policy=NO_CACHE)
def check_archiver(plan: Plan, before: PrimarySight, after: PrimarySight) -> Finding:
    """Judge the primary's archiver from two looks."""
    return judge_archiver(before.archiver, after.archiver, _limits(plan))


@task(name="publish the findings", cache_policy=NO_CACHE)
def publish_findings(found: Mapping[str, Sequence[Finding]]) -> None:
    """Show every finding by site, and fail the run where one is critical or unknown.

    Raises:
        Permanent: WAL archiving is not proven to work.
    """
    rows = [
        f"|{site}|{each.name}|{each.severity}|{each.detail}|{each.hint}|"
        for site, findings in found.items()
        for each in findings
    ]
    head = "|site|check|severity|seen|next|\n|-|-|-|-|-|"
    create_markdown_artifact(key="check-wal-archiving", markdown="\n".join([head, *rows]))
    red = [(site, each) for site, findings in found.items() for each in findings if each.red]
    if red:
        detail = "; ".join(f"{site}: {each.name}: {each.detail}" for site, each in red)
        raise Permanent("WAL archiving is not proven to work", detail, red[0][1].hint)


def archive_facts(bucket: Bucket, stanza: str, seen: PrimarySight) -> ArchiveFacts:
    """List a repository's WAL, beside the backups that are complete in it.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    folders, _ = bucket.children(f"{repository.ROOT}/archive")
    kept = seen.backups
    if kept is not None:
        kept = tuple(each for each in kept if repository.has_backup(bucket, stanza, each.label))
    files = [
        ArchivedFile(entry.key.rpartition("/")[2], entry.size, entry.modified)
        for entry in repository.list_segments(bucket, stanza)
    ]
    names = [folder.rpartition("/")[2] for folder in folders]
    return ArchiveFacts.listed(stanza, names, files, backups=kept, primary=seen.primary)


def _limits(plan: Plan) -> ArchiveLimits:
    # A copy is late by the time between two pulls.
    late: timedelta = plan.recovery.archive_timeout + plan.recovery.pull_interval
    return ArchiveLimits(rpo=plan.tier.rpo, archive_timeout=late)


def _known(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except DrError:
        return None


def _primary(row: Mapping[str, Any]) -> PrimaryFact:
    timeline, text = int(row["timeline"], 16), row["history"]
    history = parse_history(text) if text else () if timeline == 1 else None
    return PrimaryFact(timeline, parse_lsn(row["lsn"]), history, row["segment_size"])


def _archiver(row: Mapping[str, Any]) -> ArchiverFact:
    return ArchiverFact(
        failed_count=row["failed_count"],
        last_archived_at=row["last_archived_time"],
        last_failed_at=row["last_failed_time"],
        last_failed_wal=row["last_failed_wal"],
        waiting=row["waiting"],
    )
