"""Is the WAL archive real? Pure judgements over a listing, the kept backups and the primary's position.

Source: seed, "Backup Strategy" and "Recovery Point Objective"; PostgreSQL manual, "Continuous Archiving".
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

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
    twice = [wal for (wal, _), (following, _) in zip(names, names[1:], strict=False) if wal == following]
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
    start = Segment.parse(facts.backups[0].start_wal, size)
    held = _held(facts, size)
    wanted = set(_line(facts.primary, start, held))
    if start not in wanted:
        detail = f"{facts.backups[0].label} begins on timeline {start.timeline}, which the primary never was on"
        return Finding("continuity", "critical", detail, "take a full backup")
    missing = sorted(wanted - held)
    if missing:
        detail = f"{len(missing)} missing: {_some([segment.name(size) for segment in missing])}"
        hint = "copy them from another site's repository; else take a full backup"
        return Finding("continuity", "critical", detail, hint)
    return Finding("continuity", "ok", f"{len(wanted)} segments since {facts.backups[0].label}")


def position(facts: ArchiveFacts, limits: ArchiveLimits) -> Finding:
    """How far the archive is behind the primary: what a recovery from it would lose.

    The seconds count from when the store took the newest segment; nothing is behind while the primary has
    written nothing more.
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
    never = datetime.min.replace(tzinfo=after.last_failed_at.tzinfo if after.last_failed_at else None)
    failing = after.last_failed_at is not None and after.last_failed_at > (after.last_archived_at or never)
    if failing or after.failed_count > before.failed_count:
        detail = f"{after.failed_count} failures, last of {after.last_failed_wal} at {after.last_failed_at}"
        return Finding("archiver", "critical", detail, "read the primary's log for archive-push")
    if after.last_archived_at is None:
        return Finding("archiver", "critical", "it never archived anything", "is archive_mode on?")
    detail = f"{after.waiting} segments wait, last archived at {after.last_archived_at}"
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
    # Between a promotion and its first archived segment the parent's WAL is the newest there is.
    line = {primary.timeline, *(switch.parent for switch in primary.history or ())}
    return max((each for each in found if each[0].timeline in line), default=None)


def _line(primary: PrimaryFact, start: Segment, held: set[Segment]) -> Iterator[Segment]:
    """The segments a recovery from `start` to the newest archived one reads, along the primary's timelines.

    The segment in which a timeline was left is read from its child: its parent's is archived as partial only.
    """
    size = primary.segment_size
    history = primary.history or ()
    children = [switch.parent for switch in history[1:]] + [primary.timeline]
    ends = {switch.parent: switch.lsn // size for switch in history}
    begins = {child: switch.lsn // size for child, switch in zip(children, history, strict=False)}
    newest = max((each for each in held if each.timeline in {*ends, primary.timeline}), default=start)
    for timeline in (*ends, primary.timeline):
        first = max(begins.get(timeline, 0), start.number)
        last = min(ends.get(timeline, newest.number + 1), newest.number + 1)
        if start.timeline <= timeline <= newest.timeline:
            yield from (Segment(timeline, number) for number in range(first, last))


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
