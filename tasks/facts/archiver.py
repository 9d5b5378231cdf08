"""What a primary tells of its WAL, its archiver and its repository, as frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from tasks.clients.walnames import SEGMENT_SIZE, Switch


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
class DatabaseFact:
    """One database of a repository.

    Attributes:
        name: such as "15-1".
        system: its cluster's system identifier.
        newest_wal: its newest segment; empty where it has none.
    """

    name: str
    system: int
    newest_wal: str = ""


@dataclass(frozen=True)
class PrimaryFact:
    """Where the primary writes, and the parents of its timeline, oldest first; None if not to be read."""

    timeline: int
    lsn: int
    history: tuple[Switch, ...] | None = ()
    segment_size: int = SEGMENT_SIZE
    system: int = 0


@dataclass(frozen=True)
class RepositoryFact:
    """What the primary's own pgBackRest sees: the good backups and the databases, oldest first."""

    backups: tuple[BackupFact, ...]
    databases: tuple[DatabaseFact, ...]

    @classmethod
    def of(cls, stanza: Mapping[str, Any]) -> Self:
        """One stanza of `pgbackrest info --output=json`."""
        newest = {each["id"]: each["max"] or "" for each in stanza["archive"]}
        named = [(f"{each['version']}-{each['id']}", int(each["system-id"])) for each in stanza["db"]]
        databases = tuple(DatabaseFact(name, system, newest.get(name, "")) for name, system in named)
        return cls(BackupFact.of(stanza), databases)

    def database_of(self, primary: PrimaryFact | None) -> DatabaseFact | None:
        """The primary's own database, the newest where there are several."""
        mine = [each for each in self.databases if primary and each.system == primary.system]
        return mine[-1] if mine else None


@dataclass(frozen=True)
class ArchiverFact:
    """One look at pg_stat_archiver, at the segments that wait, and at how archiving is set.

    Attributes:
        failed_count: failures since the statistics were reset.
        last_archived_at: when archive_command last ended well.
        last_failed_at: when it last failed.
        last_failed_wal: of which file.
        waiting: how many files wait.
        last_archived_wal: the file of which archive_command last said that it is stored.
        waiting_s: seconds for which the oldest of them has waited, by the server's clock.
        idle_s: seconds since one was archived or, later than that, the server started.
        mode: archive_mode.
        command: archive_command, or the library in its place.
    """

    failed_count: int
    last_archived_at: datetime | None
    last_failed_at: datetime | None
    last_failed_wal: str
    waiting: int
    last_archived_wal: str = ""
    waiting_s: float = 0
    idle_s: float = 0
    mode: str = "on"
    command: str = ""


@dataclass(frozen=True)
class Growth:
    """How fast WAL is written: `bytes` over `seconds`; and the bytes that are free where it lies."""

    bytes: int
    seconds: float
    free: int | None

    @property
    def full_in_s(self) -> float | None:
        """Seconds until the disk is full if nothing were archived any more; None where nothing grows."""
        if self.free is None or self.bytes <= 0 or self.seconds <= 0:
            return None
        return self.free * self.seconds / self.bytes


@dataclass(frozen=True)
class PrimarySight:
    """The active site's primary as it was seen at a moment; None for what could not be.

    Attributes:
        site: the active site.
        at: the observer's clock.
        primary: where it writes.
        archiver: its archiver.
        repository: what its own pgBackRest sees.
        refusal: why that tells nothing, where it does not by itself.
        free: bytes free where its WAL lies.
        planned: the archive_command of the plan.
    """

    site: str
    at: datetime
    primary: PrimaryFact | None = None
    archiver: ArchiverFact | None = None
    repository: RepositoryFact | None = None
    refusal: str = ""
    free: int | None = None
    planned: str = ""

    def follows(self, before: Self) -> bool:
        """Whether it is the same primary as before, as far as is known: nothing failed over meanwhile."""
        if self.primary is None or before.primary is None:
            return True
        mine, other = self.primary, before.primary
        return (self.site, mine.system, mine.timeline) == (before.site, other.system, other.timeline)
