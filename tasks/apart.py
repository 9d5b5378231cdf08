"""What a month's long-term point is made of, found in the archive's own copies."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tasks.clients.infofile import read_info
from tasks.clients.longterm import LongTermPoint
from tasks.clients.objects import Bucket, Entry
from tasks.clients.repository import archive_of, backups_of, has_backup
from tasks.clients.vault import Moved
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.policy.long_term import (
    FullBackup,
    chosen,
    folder_of,
    full_backups,
    is_needed_wal,
    missing_wal,
    wal_folders,
)

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Contents:
    """Everything that is set apart together.

    Attributes:
        backup: the database backup.
        moves: every object, and the key of its copy.
        points: the stamp of each other asset's newest point.
    """

    backup: FullBackup
    moves: tuple[Moved, ...]
    points: dict[str, str]

    def point(self, month: str, until: datetime) -> LongTermPoint:
        """The point that these make."""
        return LongTermPoint(
            month=month,
            label=self.backup.label,
            at=self.backup.stopped_at,
            until=until,
            objects=len(self.moves),
            size=sum(entry.size for entry, _ in self.moves),
            points=self.points,
        )


def contents_of(bucket: Bucket, plan: Plan, month: str) -> Contents:
    """Choose the month's full backup, and list all that it cannot be restored without.

    Raises:
        Permanent: the archive has no full backup that is whole, or its WAL is not there.
        Transient: the store does not answer.
    """
    stanza, folder = plan.postgresql_ha.cluster_name, folder_of(month)
    backup = _choose(bucket, stanza, plan.secret("repository_cipher"), folder)
    # The info files first: they name the backup now.
    found = [*_infos(bucket, stanza), *_wal(bucket, stanza, backup)]
    found += bucket.list(f"{backups_of(stanza)}/{backup.label}")
    points = dict(_newest_points(bucket, plan.protection.assets()))
    for asset, stamp in points.items():
        found += bucket.list(f"points/{asset}/{stamp}")
    return Contents(backup, tuple((entry, f"{folder}/{entry.key}") for entry in found), points)


def _choose(bucket: Bucket, stanza: str, cipher: str, folder: str) -> FullBackup:
    text = read_info(bucket.get(f"{backups_of(stanza)}/backup.info"), cipher)
    begun = bucket.children(f"{folder}/{backups_of(stanza)}")[0]
    whole = [each for each in full_backups(text) if has_backup(bucket, stanza, each.label)]
    backup = chosen(whole, (each.rpartition("/")[2] for each in begun))
    if backup is None:
        hint = "take a full backup, replicate it to the archive, then try again"
        raise Permanent(f"{bucket.name} has no full backup that is whole", "nothing to set apart", hint)
    return backup


def _infos(bucket: Bucket, stanza: str) -> Iterator[Entry]:
    for path, name in ((archive_of(stanza), "archive.info"), (backups_of(stanza), "backup.info")):
        yield bucket.head(f"{path}/{name}")
        yield bucket.head(f"{path}/{name}.copy")


def _wal(bucket: Bucket, stanza: str, backup: FullBackup) -> list[Entry]:
    folders, top = bucket.children(f"{archive_of(stanza)}/{backup.archive}")
    segments = [
        entry
        for folder in wal_folders(backup, folders)
        for entry in bucket.list(folder)
        if is_needed_wal(backup, entry.key)
    ]
    missing = missing_wal(backup, (entry.key for entry in segments))
    if missing:
        told = f"{', '.join(missing)} of {backup.label}"
        raise Permanent(f"{bucket.name} lacks WAL of a full backup", told, "replicate, then try again")
    # A restore asks for the timelines' histories.
    return [*segments, *(entry for entry in top if entry.key.endswith(".history"))]


def _newest_points(bucket: Bucket, assets: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for asset in assets:
        stamps = sorted(
            (each.rpartition("/")[2] for each in bucket.children(f"points/{asset}")[0]), reverse=True
        )
        for stamp in stamps:
            if any(e.key.endswith(f"/{_MANIFEST}") for e in bucket.children(f"points/{asset}/{stamp}")[1]):
                yield asset, stamp
                break
