"""What is seen of a WAL archive and its copies, as frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tasks.clients.walnames import Segment
from tasks.facts.archiver import BackupFact, PrimaryFact

Severity = Literal["ok", "warning", "critical", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; only "ok" and "warning" are healthy, since unknown is not.

    Attributes:
        name: what was checked.
        severity: how bad it is.
        detail: the facts that were seen.
        hint: the next action.
    """

    name: str
    severity: Severity
    detail: str = ""
    hint: str = ""

    @property
    def red(self) -> bool:
        """Whether a run that found this must fail."""
        return self.severity in {"critical", "unknown"}


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One object of the archive: the last part of its key, its bytes, when the store took it, its ETag."""

    name: str
    size: int
    modified: datetime
    etag: str = ""


@dataclass(frozen=True)
class Names:
    """Some of the names that were found, and how many there were."""

    shown: tuple[str, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        """The names, shortened."""
        more = f" and {self.count - len(self.shown)} more" if self.count > len(self.shown) else ""
        return ", ".join(self.shown) + more

    def __bool__(self) -> bool:
        """Whether there was any."""
        return bool(self.count)


@dataclass(frozen=True)
class ArchiveFacts:
    """One site's archive beside what it should hold, in a size that does not grow with the archive.

    Attributes:
        stanza: whose archive it should be.
        stanzas: the stanzas that the repository's archive holds.
        held: for each timeline the runs of whole segments, first and last number.
        taken: for each timeline when the store took its newest segment.
        truncated: segments with a size that none can have.
        duplicated: segments with two contents.
        differing: segments that are not what other sites have under the same name, each with how.
        foreign: files of timelines that the primary never was on, taken since it is on its own.
        ahead: segments of the primary's timeline that it has not written yet.
        watched: which of the names to look out for are here.
        coming: segments that another site took just now and that this one may be copying.
        compared: whether the archive that it copies was listed beside it; of that itself, True.
        behind_since: when that archive took the first segment after this one's newest; None without one.
        backups: the kept backups that are complete here, oldest first; None if they are not known.
        primary: where the active primary stands; None if it could not be asked.
        seen_at: the observer's clock when the archive was listed.
    """

    stanza: str
    stanzas: tuple[str, ...]
    held: Mapping[int, tuple[tuple[int, int], ...]]
    taken: Mapping[int, datetime]
    backups: tuple[BackupFact, ...] | None
    primary: PrimaryFact | None
    seen_at: datetime
    truncated: Names = Names()
    duplicated: Names = Names()
    differing: Names = Names()
    foreign: Names = Names()
    ahead: Names = Names()
    watched: frozenset[str] = frozenset()
    coming: frozenset[Segment] = frozenset()
    compared: bool = True
    behind_since: datetime | None = None

    @property
    def count(self) -> int:
        """How many whole segments it holds."""
        return sum(last - first + 1 for runs in self.held.values() for first, last in runs)


@dataclass(frozen=True)
class SiteNumbers:
    """How far one site's archive reaches: what a cold standby made of it would lose.

    Attributes:
        archived_lsn: the first position that it does not have; None where nothing of it is known.
        behind_bytes: from there to the primary's.
        behind_s: seconds of work that a recovery from it would lose, at most.
        segments: whole segments that it holds.
    """

    archived_lsn: str | None = None
    behind_bytes: int | None = None
    behind_s: float | None = None
    segments: int | None = None


@dataclass(frozen=True)
class ArchiveNumbers:
    """One check in numbers: for the next check to compare with, and for metrics.

    Attributes:
        at: when it was made.
        active: the site whose primary it was.
        sites: each site's archive.
        findings: for each site, and for "primary", the severity of each finding by its name.
        system: the cluster's system identifier.
        timeline: the primary's.
        lsn: its position, in bytes.
        waiting: files that wait to be archived.
        failed_count: archive_command's failures since the statistics were reset.
        free_bytes: free where WAL lies.
        full_in_s: seconds until that is full if nothing were archived any more.
    """

    at: datetime
    active: str
    sites: Mapping[str, SiteNumbers]
    findings: Mapping[str, Mapping[str, Severity]]
    system: int = 0
    timeline: int = 0
    lsn: int = 0
    waiting: int | None = None
    failed_count: int | None = None
    free_bytes: int | None = None
    full_in_s: float | None = None


@dataclass(frozen=True)
class ArchiveLimits:
    """What is tolerated: the tier's RPO, and the segments that may wait to be archived.

    A segment is archived within archive_timeout of the first write to it, full or not.

    Attributes:
        rpo: the tier's.
        archive_timeout: the longest that WAL stays in a segment that is not archived.
        waiting: segments that may wait.
        stuck: how long one may wait while none is archived.
        soon: a disk that would be full within it is critical.
        later: a disk that would be full within it is a warning.
        wal_retention: for how long every moment can be reached; the older WAL is what backups need.
    """

    rpo: timedelta
    archive_timeout: timedelta
    stuck: timedelta = timedelta(seconds=30)
    soon: timedelta = timedelta(hours=1)
    later: timedelta = timedelta(hours=24)
    wal_retention: timedelta = timedelta(days=7)
    waiting: int = 8
