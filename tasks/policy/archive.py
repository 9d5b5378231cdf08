"""Is the WAL archive real? Pure judgements over a listing, the kept backups and the primary's position.

Source: seed, "Backup Strategy" and "Recovery Point Objective"; PostgreSQL manual, "Continuous Archiving".
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from tasks.clients.walnames import ArchivedName, Segment, format_lsn, parse_archived
from tasks.facts.archive import ArchivedFile, ArchiveFacts, ArchiveLimits, ArchiverFact, Finding, PrimaryFact

# A segment without a single record still compresses to more than this.
_LEAST_COMPRESSED_BYTES = 128
# What a cipher's salt and padding, or a compressor's framing, may add to a segment.
_MOST_ADDED_BYTES = 64 * 1024
_SHOWN = 5


def judge_archive(facts: ArchiveFacts, limits: ArchiveLimits) -> tuple[Finding, ...]:
    """Every judgement on one repository's archive; one finding for each thing that was looked at."""
    found = (stanza(facts), truncated(facts), duplicated(facts), gaps(facts), position(facts, limits))
    return tuple(finding for finding in found if finding)


def stanza(facts: ArchiveFacts) -> Finding:
    """Whether this is the right archive at all, and holds WAL."""
    if facts.stanza not in facts.stanzas:
        others = ", ".join(facts.stanzas) or "nothing"
        hint = "check the bucket, repo1-path and the stanza; then `pgbackrest check`"
        return Finding("archive", "critical", f"no stanza {facts.stanza} in it, but {others}", hint)
    count = sum(1 for _ in _segments(facts))
    if count == 0:
        return Finding("archive", "critical", "no WAL segment in it", "is archive_command set and working?")
    return Finding("archive", "ok", f"{count} segments")


def truncated(facts: ArchiveFacts) -> Finding:
    """Whether a segment's object has a size that no segment can have."""
    size = facts.primary.segment_size if facts.primary else None
    bad = sorted(file.name for file, name in _segments(facts) if not _plausible(file.size, name, size))
    if bad:
        hint = "copy them again from another site's repository, then `pgbackrest verify`"
        return Finding("segment sizes", "critical", f"truncated: {_some(bad)}", hint)
    return Finding("segment sizes", "ok")


def duplicated(facts: ArchiveFacts) -> Finding:
    """Whether a segment was archived twice with different contents: pgBackRest restores neither."""
    names = sorted({(name.wal, name.sha1) for _, name in _segments(facts) if not name.partial})
    twice = [wal for (wal, _), (following, _) in pairwise(names) if wal == following]
    if twice:
        hint = "two primaries archived into one repository: keep the one the timeline's history confirms"
        return Finding("duplicates", "critical", f"archived twice: {_some(sorted(set(twice)))}", hint)
    return Finding("duplicates", "ok")


def gaps(facts: ArchiveFacts) -> Finding:
    """Whether every segment from the oldest kept backup to the newest archived one is there."""
    if facts.primary is None or facts.primary.history is None:
        return Finding("continuity", "unknown", "the primary's timeline history is not known", "ask it again")
    if facts.backups is None:
        return Finding("continuity", "unknown", "the kept backups are not known", "run `pgbackrest info`")
    if not facts.backups:
        return Finding("continuity", "critical", "no backup to recover from", "run backup_database")
    size = facts.primary.segment_size
    first, last = (
        Segment.parse(name, size) for name in (facts.backups[0].start_wal, facts.backups[-1].stop_wal)
    )
    if not _on_line(facts.primary, first):
        detail = f"{facts.backups[0].label} begins in {first.name(size)}, which the primary never wrote"
        return Finding("continuity", "critical", detail, "take a full backup")
    held = _held(facts, size)
    newest = max(segment for segment in {first, last, *held} if _on_line(facts.primary, segment))
    wanted = set(_line(facts.primary, first, newest))
    missing = sorted(wanted - held)
    if missing:
        detail = f"{len(missing)} missing: {_some([segment.name(size) for segment in missing])}"
        hint = "copy them from another site's repository; else take a full backup"
        return Finding("continuity", "critical", detail, hint)
    return Finding("continuity", "ok", f"{len(wanted)} segments since {facts.backups[0].label}")


def position(facts: ArchiveFacts, limits: ArchiveLimits) -> Finding:
    """How far the archive is behind the primary: what a recovery from it would lose.

    The seconds count from when the store took the newest segment. Where only the segment that is being
    written is behind, archive_timeout bounds them: an idle primary is not late.
    """
    if facts.primary is None:
        return Finding("position", "unknown", "the primary's position is not known", "ask it again")
    newest = _newest(facts, facts.primary)
    if newest is None:
        return Finding("position", "critical", "nothing of the primary's timeline", "is archiving working?")
    segment, taken = newest
    archived = segment.end(facts.primary.segment_size)
    behind = max(0, facts.primary.lsn - archived)
    age = max(facts.seen_at - taken, timedelta()) if behind else timedelta()
    if behind <= facts.primary.segment_size:
        age = min(age, limits.archive_timeout)
    detail = (
        f"archived to {format_lsn(archived)}, primary at {format_lsn(facts.primary.lsn)}: "
        f"{behind} bytes, {age.total_seconds():.0f} s behind; RPO {limits.rpo.total_seconds():.0f} s"
    )
    if age > limits.rpo:
        return Finding("position", "critical", detail, "is archiving, or replication to this site, stuck?")
    return Finding("position", "warning" if age > limits.rpo / 2 else "ok", detail)


def judge_archiver(before: ArchiverFact | None, after: ArchiverFact | None, limits: ArchiveLimits) -> Finding:
    """What the primary's archiver tells, from two looks some seconds apart."""
    if before is None or after is None:
        return Finding("archiver", "unknown", "the primary could not be asked", "ask it again")
    failed, archived = after.last_failed_at, after.last_archived_at
    failing = failed is not None and (archived is None or failed > archived)
    if failing or after.failed_count > before.failed_count:
        detail = f"{after.failed_count} failures, last of {after.last_failed_wal} at {failed}"
        return Finding("archiver", "critical", detail, "read the primary's log for archive-push")
    if archived is None:
        return Finding("archiver", "critical", "it never archived anything", "is archive_mode on?")
    detail = f"{after.waiting} segments wait, last archived at {archived}"
    return Finding("archiver", "warning" if after.waiting > limits.waiting else "ok", detail)


def _segments(facts: ArchiveFacts) -> Iterator[tuple[ArchivedFile, ArchivedName]]:
    for file in facts.files:
        name = parse_archived(file.name)
        if name:
            yield file, name


def _held(facts: ArchiveFacts, size: int) -> set[Segment]:
    return {Segment.parse(name.wal, size) for _, name in _segments(facts) if not name.partial}


def _newest(facts: ArchiveFacts, primary: PrimaryFact) -> tuple[Segment, datetime] | None:
    size = primary.segment_size
    found = (
        (Segment.parse(name.wal, size), file.modified) for file, name in _segments(facts) if not name.partial
    )
    return max((each for each in found if _on_line(primary, each[0])), default=None)


def _on_line(primary: PrimaryFact, segment: Segment) -> bool:
    """Whether a segment holds WAL that the primary has; its parents' beyond the switch is another's."""
    ends = _ends(primary)
    return segment.timeline == primary.timeline or segment.number < ends.get(segment.timeline, 0)


def _ends(primary: PrimaryFact) -> dict[int, int]:
    """For each parent, oldest first, the number of the segment in which it was left.

    That segment is read from the child: of the parent it is archived as partial only.
    """
    return {switch.parent: switch.lsn // primary.segment_size for switch in primary.history or ()}


def _line(primary: PrimaryFact, start: Segment, newest: Segment) -> Iterator[Segment]:
    """The segments that a recovery reads from one to another, along the primary's timelines."""
    number = start.number
    for timeline, end in (*_ends(primary).items(), (primary.timeline, newest.number + 1)):
        if timeline >= start.timeline:
            last = min(end, newest.number + 1)
            yield from (Segment(timeline, each) for each in range(number, last))
            number = max(number, last)


def _plausible(size: int, name: ArchivedName, segment_size: int | None) -> bool:
    if name.compressed:
        return size >= _LEAST_COMPRESSED_BYTES and (
            segment_size is None or size <= segment_size + _MOST_ADDED_BYTES
        )
    return size > 0 if segment_size is None else segment_size <= size <= segment_size + _MOST_ADDED_BYTES


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
