"""Does the primary archive, and will its disk last? Pure judgements over two looks at it.

Source: PostgreSQL manual, "Continuous Archiving" and "pg_stat_archiver".
"""

import re
from datetime import datetime, timedelta
from typing import Final

from tasks.clients.walnames import Segment
from tasks.facts.archive import (
    ArchiveFacts,
    ArchiveLimits,
    ArchiveNumbers,
    Finding,
    Severity,
)
from tasks.facts.archiver import ArchiverFact, Growth, PrimaryFact, PrimarySight, RepositoryFact

# Two looks lie a second apart: one switch of a segment in it is no measure.
_LEAST_WINDOW, _MOST_WINDOW = timedelta(seconds=30), timedelta(days=1)
_SECRET = re.compile(r"(\S*(?:secret|key|pass|token)[^=\s]*=)\S+", re.IGNORECASE)
Look = tuple[PrimaryFact, datetime]
_UNKNOWN: Final = ("unknown", "the primary could not be asked", "ask it again")


def command(archiver: ArchiverFact | None, planned: str) -> Finding:
    """Whether the primary is set to archive the way that the plan renders."""
    if archiver is None:
        return Finding("archive command", *_UNKNOWN)
    if archiver.mode == "off":
        hint = "set archive_mode to on; it needs a restart"
        return Finding("archive command", "critical", "archive_mode is off", hint)
    if archiver.command == planned:
        return Finding("archive command", "ok")
    detail = f"it is {_masked(archiver.command) or 'empty'!r}, planned {planned!r}"
    severity: Severity = "warning" if "archive-push" in archiver.command else "critical"
    return Finding("archive command", severity, detail, "reload the planned configuration")


def stored(archiver: ArchiverFact | None, archive: ArchiveFacts | None) -> Finding:
    """Whether the file that archive_command last called archived is in the active site's bucket."""
    if archiver is None or archive is None:
        return Finding("stored", "unknown", "the archiver or the bucket could not be asked", "ask it again")
    claim = archiver.last_archived_wal
    if not claim or claim in archive.watched or _was_left(claim, archive):
        return Finding("stored", "ok", claim)
    detail = f"archive_command said at {archiver.last_archived_at} that {claim} is stored; it is not there"
    return Finding("stored", "critical", detail, "correct archive_command, then take a full backup")


def bucket(seen: PrimarySight, archive: ArchiveFacts | None) -> Finding:
    """Whether the primary's pgBackRest works on the site's bucket and not on another."""
    if archive is None:
        return Finding("bucket", "unknown", "the site's bucket could not be listed", "is its store up?")
    hint = "compare repo1-* of the primary's pgbackrest.conf and archive_command with the plan"
    if seen.repository is None:
        wrong = bool(seen.refusal and archive.count)
        detail = f"the primary's pgBackRest does not see what the site's bucket holds: {seen.refusal}"
        return Finding("bucket", "critical" if wrong else "unknown", detail, hint)
    mine = seen.repository.database_of(archive.primary)
    if mine and mine.newest_wal and mine.newest_wal not in archive.watched:
        detail = f"the primary's pgBackRest sees {mine.newest_wal}, the site's bucket lacks it"
        return Finding("bucket", "critical", detail, hint)
    command = seen.archiver.command if seen.archiver else seen.planned
    if command != seen.planned and "archive-push" in command and stored(seen.archiver, archive).red:
        return Finding("bucket", "critical", "archive_command stores elsewhere", hint)
    return Finding("bucket", "ok")


def system(primary: PrimaryFact | None, repository: RepositoryFact | None) -> Finding:
    """Whether the newest database of the repository is the primary's cluster."""
    if primary is None or repository is None or not repository.databases:
        return Finding(
            "system", "unknown", "the repository's clusters are not known", "run `pgbackrest info`"
        )
    newest = repository.databases[-1]
    if newest.system == primary.system:
        return Finding("system", "ok", f"{newest.name} is {newest.system}")
    detail = f"{newest.name} belongs to the cluster {newest.system}, the primary's is {primary.system}"
    return Finding("system", "critical", detail, "find the cluster whose stanza-create or -upgrade that was")


def failures(
    before: ArchiverFact | None,
    after: ArchiverFact | None,
    archive: ArchiveFacts | None,
    last: ArchiveNumbers | None,
) -> Finding:
    """What the primary's archiver tells, from two looks and the last check's."""
    if before is None or after is None:
        return Finding("archiver", *_UNKNOWN)
    failed, archived = after.last_failed_at, after.last_archived_at
    failing = failed is not None and (archived is None or failed > archived)
    detail = f"{after.failed_count} failures, last of {after.last_failed_wal} at {failed}"
    if failing and archive is not None and after.last_failed_wal in archive.watched:
        hint = "another cluster archived it first: find and stop it"
        return Finding("foreign cluster", "critical", f"{detail}; the bucket has it already", hint)
    if failing or after.failed_count > before.failed_count:
        return Finding("archiver", "critical", detail, "read the primary's log for archive-push")
    if archived is None:
        return Finding("archiver", "critical", "it never archived anything", "is archive_mode on?")
    if last is not None and last.failed_count is not None and after.failed_count > last.failed_count:
        return Finding("archiver", "warning", f"{detail}; it works again", "read the primary's log")
    return Finding("archiver", "ok", f"last archived at {archived}, {after.failed_count} failures")


def is_stuck(before: ArchiverFact, after: ArchiverFact, limits: ArchiveLimits) -> bool:
    """Whether files wait too long while none is archived."""
    patience_s = limits.stuck.total_seconds()
    moved = after.last_archived_wal != before.last_archived_wal or not after.waiting
    return not moved and after.waiting_s > patience_s and after.idle_s > patience_s


def backlog(before: ArchiverFact | None, after: ArchiverFact | None, limits: ArchiveLimits) -> Finding:
    """Whether the files that wait are archived in time."""
    if before is None or after is None:
        return Finding("backlog", *_UNKNOWN)
    detail = f"{after.waiting} wait, the oldest for {after.waiting_s:.0f} s"
    if is_stuck(before, after, limits):
        detail = f"{detail}; none was archived for {after.idle_s:.0f} s: the archiver is stuck"
        return Finding("backlog", "critical", detail, "what does archive_command wait for? end that process")
    if after.waiting > limits.waiting:
        return Finding("backlog", "warning", detail, "is the store slow, or the archiver failing?")
    return Finding("backlog", "ok", detail)


def disk(
    growth: Growth | None, before: ArchiverFact | None, after: ArchiverFact | None, limits: ArchiveLimits
) -> Finding:
    """When the disk that holds WAL would be full; it fills only while WAL waits to be archived."""
    if growth is None or growth.free is None or before is None or after is None:
        return Finding("disk", "unknown", "the free space is not known", "run df on the primary's pg_wal")
    left, free = growth.full_in_s, f"{growth.free} bytes free"
    if left is None:
        return Finding("disk", "ok", f"{free}, nothing written")
    rate = growth.bytes / growth.seconds
    detail = f"{free}, {rate:.0f} bytes/s written: full in {left:.0f} s if none is archived"
    failing = after.failed_count > before.failed_count or is_stuck(before, after, limits)
    grows = failing or after.waiting > max(limits.waiting, before.waiting)
    if not grows or left > limits.later.total_seconds():
        return Finding("disk", "ok", detail)
    severity: Severity = "critical" if left < limits.soon.total_seconds() else "warning"
    return Finding("disk", severity, detail, "let the archiver work again, or give pg_wal more room")


def growth(before: Look, after: Look, free: int | None, last: ArchiveNumbers | None) -> Growth:
    """How fast WAL is written: since the last check of this timeline, else between two looks."""
    (primary, at), (now, later) = before, after
    if last is not None and (last.system, last.timeline) == (now.system, now.timeline):
        passed = later - last.at
        if _LEAST_WINDOW < passed < _MOST_WINDOW and last.lsn <= now.lsn:
            return Growth(now.lsn - last.lsn, passed.total_seconds(), free)
    return Growth(now.lsn - primary.lsn, (later - at).total_seconds(), free)


def _masked(text: str) -> str:
    """A command without what might be a secret in it."""
    return _SECRET.sub(r"\1***", text)


def _was_left(claim: str, archive: ArchiveFacts) -> bool:
    """Whether a claim is older than what is kept: a node's statistics outlive its time as a standby."""
    name = claim[:24]
    if archive.primary is None or not archive.backups or len(name) < 24:
        return False
    size = archive.primary.segment_size
    return Segment.parse(name, size).number < Segment.parse(archive.backups[0].start_wal, size).number
