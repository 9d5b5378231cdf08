"""Is a site's WAL archive real? Pure judgements over what it holds, the kept backups and the primary.

Source: seed, "Backup Strategy" and "Recovery Point Objective"; PostgreSQL manual, "Continuous Archiving".
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from tasks.clients.walnames import SEGMENT_SIZE, Segment, format_lsn
from tasks.facts.archive import (
    ArchiveFacts,
    ArchiveLimits,
    Finding,
    Names,
    SiteNumbers,
)
from tasks.facts.archiver import ArchiverFact, BackupFact, PrimaryFact
from tasks.facts.backups import Point
from tasks.policy.lineage import ends, line, on_line
from tasks.policy.retention import wal_backups

_SHOWN = 5
Run = tuple[int, int, int]
"""A timeline, and the first and last number of segments on it."""


def judge_archive(
    facts: ArchiveFacts, limits: ArchiveLimits, archiver: ArchiverFact | None = None
) -> tuple[Finding, ...]:
    """Every judgement on one site's archive; one finding for each thing that was looked at.

    Args:
        facts: the archive.
        limits: what is tolerated.
        archiver: the primary's archiver; None if it could not be asked.
    """
    return (
        Finding("repository", "ok", "it answers"),
        stanza(facts),
        _named("segment sizes", facts.truncated, "truncated", "copy them again from another site's"),
        _named("copies", facts.differing, "not what other sites hold", "copy them again from another site's"),
        _named("duplicates", facts.duplicated, "archived twice", "keep the one that other sites hold"),
        foreign(facts),
        gaps(facts, limits),
        position(facts, limits, archiver),
    )


def unreachable(message: str, hint: str) -> tuple[Finding, ...]:
    """The one finding on a repository that cannot be looked at."""
    return (Finding("repository", "critical", message, hint or "is the site's store up?"),)


def stanza(facts: ArchiveFacts) -> Finding:
    """Whether this is the right archive at all, and holds WAL."""
    if facts.stanza not in facts.stanzas:
        others = ", ".join(facts.stanzas) or "nothing"
        hint = "check the bucket, repo1-path and the stanza; then `pgbackrest check`"
        return Finding("stanza", "critical", f"no stanza {facts.stanza} in it, but {others}", hint)
    if facts.count == 0:
        return Finding("stanza", "critical", "no WAL segment in it", "is archive_command set and working?")
    return Finding("stanza", "ok", f"{facts.count} segments")


def foreign(facts: ArchiveFacts) -> Finding:
    """Whether another cluster archives here: WAL that the primary neither wrote nor came from."""
    hint = "find the server that archives here (a restored copy with archive_mode on?) and stop it"
    if facts.primary is None:
        return Finding("foreign cluster", "unknown", "the primary is not known", "ask it again")
    seen = [f"a timeline that the primary never was on: {facts.foreign}"] if facts.foreign else []
    seen += [f"WAL that the primary has not written yet: {facts.ahead}"] if facts.ahead else []
    return Finding("foreign cluster", "critical", "; ".join(seen), hint) if seen else _ok("foreign cluster")


def gaps(facts: ArchiveFacts, limits: ArchiveLimits) -> Finding:
    """Whether the segments are there that the kept backups need, and all from the oldest of them to now.

    Beyond the WAL retention only what makes each backup consistent is kept.
    """
    if facts.primary is None or facts.primary.history is None:
        return Finding("continuity", "unknown", "the primary's timeline history is not known", "ask it again")
    if facts.backups is None:
        return Finding("continuity", "unknown", "the kept backups are not known", "run `pgbackrest info`")
    if not facts.backups:
        return Finding("continuity", "critical", "no backup to recover from", "run backup_database")
    primary, size = facts.primary, facts.primary.segment_size
    rolled = [each for each in _within(facts, limits) if on_line(primary, _start(each, size))]
    if not rolled:
        newest = facts.backups[-1]
        detail = f"{newest.label} begins in {newest.start_wal}, which the primary never wrote"
        return Finding("continuity", "critical", detail, "take a full backup")
    runs = [*(_own(each, size) for each in facts.backups), *_since(facts, primary, rolled)]
    missing = sorted(set(_missing(facts, runs)) - facts.coming)
    if missing:
        names = Names(tuple(each.name(size) for each in missing[:_SHOWN]), len(missing))
        hint = "copy them from another site, or push them from the primary's pg_wal; else take a full backup"
        return Finding("continuity", "critical", f"{len(missing)} missing: {names}", hint)
    wanted = sum(last - first + 1 for _, first, last in _since(facts, primary, rolled))
    return Finding("continuity", "ok", f"{wanted} segments since {rolled[0].label}")


def position(facts: ArchiveFacts, limits: ArchiveLimits, archiver: ArchiverFact | None = None) -> Finding:
    """How far the archive is behind the primary: what a recovery from it would lose."""
    if facts.primary is None:
        return Finding("position", "unknown", "the primary's position is not known", "ask it again")
    seen = numbers(facts, limits, archiver)
    if seen.behind_s is None:
        return Finding("position", "critical", "nothing of the primary's timeline", "is archiving working?")
    detail = (
        f"archived to {seen.archived_lsn}, primary at {format_lsn(facts.primary.lsn)}: "
        f"{seen.behind_bytes} bytes, {seen.behind_s:.0f} s behind; RPO {limits.rpo.total_seconds():.0f} s"
    )
    age = timedelta(seconds=seen.behind_s)
    if age > limits.rpo:
        return Finding("position", "critical", detail, "is archiving, or replication to this site, stuck?")
    return Finding("position", "warning" if age > limits.rpo / 2 else "ok", detail)


def numbers(facts: ArchiveFacts, limits: ArchiveLimits, archiver: ArchiverFact | None = None) -> SiteNumbers:
    """How far the archive reaches; the seconds are those of the oldest WAL that it lacks, at most.

    Where only the segment that is being written is lacking, archive_timeout bounds them: an idle primary is
    not late, however long ago its last segment was taken.
    """
    newest = _newest(facts, facts.primary) if facts.primary else None
    if facts.primary is None or newest is None:
        return SiteNumbers(segments=facts.count)
    archived = newest.end(facts.primary.segment_size)
    behind = max(0, facts.primary.lsn - archived)
    age = _age(facts, limits, archiver, newest) if behind else timedelta()
    return SiteNumbers(format_lsn(archived), behind, age.total_seconds(), facts.count)


def _age(
    facts: ArchiveFacts, limits: ArchiveLimits, archiver: ArchiverFact | None, newest: Segment
) -> timedelta:
    since = max(facts.seen_at - facts.taken[newest.timeline], timedelta())
    if facts.behind_since is not None:
        return max(facts.seen_at - facts.behind_since, timedelta()) + limits.archive_timeout
    if not facts.compared or archiver is None or archiver.mode == "off":
        behind = facts.primary.lsn - newest.end(facts.primary.segment_size) if facts.primary else 0
        return since if behind > SEGMENT_SIZE else min(since, limits.archive_timeout)
    if archiver.last_archived_wal not in facts.watched:
        return since
    waited = timedelta(seconds=archiver.waiting_s) if archiver.waiting else timedelta()
    return min(since, waited + limits.archive_timeout)


def _within(facts: ArchiveFacts, limits: ArchiveLimits) -> Sequence[BackupFact]:
    """The backups from which every later moment can be reached, by the WAL retention."""
    backups = facts.backups or ()
    points = [Point("database", "", each.label, each.kind, each.stopped_at) for each in backups]
    return backups[-wal_backups(points, limits.wal_retention, facts.seen_at) :]


def _since(facts: ArchiveFacts, primary: PrimaryFact, backups: Sequence[BackupFact]) -> list[Run]:
    """Along the primary's timelines, from the first of the backups to the newest segment or backup."""
    size = primary.segment_size
    last = max(Segment.parse(each.stop_wal, size) for each in backups)
    newest = _newest(facts, primary)
    return list(line(primary, _start(backups[0], size), max(last, newest) if newest else last))


def _own(backup: BackupFact, size: int) -> Run:
    first, last = _start(backup, size), Segment.parse(backup.stop_wal, size)
    return first.timeline, first.number, last.number


def _start(backup: BackupFact, size: int) -> Segment:
    return Segment.parse(backup.start_wal, size)


def _missing(facts: ArchiveFacts, runs: Iterable[Run]) -> Iterator[Segment]:
    for timeline, first, last in runs:
        number = first
        for begin, end in (*facts.held.get(timeline, ()), (last + 1, last + 1)):
            yield from (Segment(timeline, each) for each in range(number, min(begin, last + 1)))
            number = max(number, end + 1)


def _newest(facts: ArchiveFacts, primary: PrimaryFact) -> Segment | None:
    """The newest segment that the primary has too."""
    left = ends(primary)
    for timeline in (primary.timeline, *reversed(left)):
        below = left.get(timeline)
        for first, last in reversed(facts.held.get(timeline, ())):
            if below is None or first < below:
                return Segment(timeline, last if below is None else min(last, below - 1))
    return None


def _named(name: str, found: Names, what: str, hint: str) -> Finding:
    return (
        Finding(name, "critical", f"{what}: {found}", f"{hint}, then `pgbackrest verify`")
        if found
        else _ok(name)
    )


def _ok(name: str) -> Finding:
    return Finding(name, "ok")
