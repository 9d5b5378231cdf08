"""What is seen of a WAL archive and its copies, as frozen facts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from tasks.clients.walnames import SEGMENT_SIZE, Switch

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


@dataclass(frozen=True)
class ArchivedFile:
    """One object of the archive: the last part of its key, its bytes, and when the store took it."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class BackupFact:
    """One backup as `pgbackrest info` tells it: the WAL it needs, and when it ended."""

    label: str
    kind: str
    start_wal: str
    stop_wal: str
    stopped_at: datetime

    @classmethod
    def of(cls, stanza: Mapping[str, Any]) -> tuple[Self, ...]:
        """The good backups of one stanza of `pgbackrest info --output=json`, oldest first."""
        return tuple(
            cls(
                label=backup["label"],
                kind=backup["type"],
                start_wal=backup["archive"]["start"],
                stop_wal=backup["archive"]["stop"],
                stopped_at=datetime.fromtimestamp(backup["timestamp"]["stop"], UTC),
            )
            for backup in stanza["backup"]
            if not backup["error"]
        )


@dataclass(frozen=True)
class ArchiverFact:
    """One look at pg_stat_archiver and at the segments that wait in archive_status."""

    failed_count: int
    last_archived_at: datetime | None
    last_failed_at: datetime | None
    last_failed_wal: str
    waiting: int


@dataclass(frozen=True)
class PrimaryFact:
    """Where the primary writes, and the parents of its timeline, oldest first; None if not to be read."""

    timeline: int
    lsn: int
    history: tuple[Switch, ...] | None = ()
    segment_size: int = SEGMENT_SIZE


@dataclass(frozen=True)
class ArchiveFacts:
    """One repository's archive beside what it should hold.

    Attributes:
        stanza: whose archive it should be.
        stanzas: the stanzas that the repository's archive holds.
        files: everything below the newest database id of the stanza.
        backups: the kept backups, oldest first; None if pgBackRest could not be asked.
        primary: where the active primary stands; None if it could not be asked.
        seen_at: the observer's clock when the archive was listed.
    """

    stanza: str
    stanzas: tuple[str, ...]
    files: tuple[ArchivedFile, ...]
    backups: tuple[BackupFact, ...] | None
    primary: PrimaryFact | None
    seen_at: datetime

    @classmethod
    def listed(cls, stanza: str, stanzas: Iterable[str], files: Iterable[ArchivedFile], **seen: Any) -> Self:
        """The facts of a listing made now."""
        return cls(stanza, tuple(stanzas), tuple(files), seen_at=datetime.now(UTC), **seen)


@dataclass(frozen=True)
class ArchiveLimits:
    """What is tolerated: the tier's RPO, and the segments that may wait to be archived.

    A segment is archived within archive_timeout of the first write to it, full or not.
    """

    rpo: timedelta
    archive_timeout: timedelta
    waiting: int = 8
