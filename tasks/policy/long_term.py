"""Which backup is set apart for the long term, and which WAL it cannot be restored without. Pure.

Source: pgBackRest's `backup.info`, sections `backup:current` and `db:history`.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.clients.longterm import ROOT
from tasks.clients.walnames import Segment
from tasks.errors import DrError
from tasks.facts.backups import Verified
from tasks.policy.verification import is_label

_BACKUP = re.compile(r"^(\d{8}-\d{6}F)=(\{.*\})$", re.MULTILINE)
_HISTORY = re.compile(r'^(\d+)=(\{.*"db-version":.*\})$', re.MULTILINE)
_DIRECTORY, _SEGMENT = 16, 24
_NEVER = datetime.fromtimestamp(0, UTC)
Record = Verified | DrError


@dataclass(frozen=True)
class FullBackup:
    """One full backup as `backup.info` describes it.

    Attributes:
        label: its name.
        archive: the folder of its WAL below the stanza's, such as "15-1".
        start: the first WAL segment it needs.
        stop: the last one.
        stopped_at: the moment it restores to.
    """

    label: str
    archive: str
    start: str
    stop: str
    stopped_at: datetime


def full_backups(info: str) -> tuple[FullBackup, ...]:
    """The good full backups that the text of a `backup.info` names, oldest first.

    Raises:
        ValueError: it is no such file.
    """
    versions = {number: json.loads(text)["db-version"] for number, text in _HISTORY.findall(info)}
    found = [(label, json.loads(text)) for label, text in _BACKUP.findall(info)]
    try:
        return tuple(_backup(label, each, versions) for label, each in found if not each.get("backup-error"))
    except KeyError as error:
        raise ValueError(f"backup.info lacks {error}") from error


def chosen(backups: Sequence[FullBackup], begun: Iterable[str]) -> FullBackup | None:
    """The backup that a broken-off run began with while it is still there; else the newest."""
    before = set(begun)
    return next((each for each in backups if each.label in before), backups[-1] if backups else None)


def wal_folders(backup: FullBackup, folders: Iterable[str]) -> list[str]:
    """Of the folders of a database's archive, those that may hold a backup's WAL."""
    first, last = backup.start[:_DIRECTORY], backup.stop[:_DIRECTORY]
    return [folder for folder in folders if first <= folder.rpartition("/")[2] <= last]


def is_needed_wal(backup: FullBackup, key: str) -> bool:
    """Whether a WAL object belongs to a backup; partial segments of an abandoned timeline do not."""
    name = key.rpartition("/")[2]
    return backup.start <= name[:_SEGMENT] <= backup.stop and name[_SEGMENT : _SEGMENT + 1] == "-"


def missing_wal(backup: FullBackup, keys: Iterable[str]) -> list[str]:
    """The ends of a backup's WAL that are not among some objects, by segment."""
    have = {key.rpartition("/")[2][:_SEGMENT] for key in keys}
    return [segment for segment in (backup.start, backup.stop) if segment not in have]


def folder_of(month: str) -> str:
    """Where a month's point lies; its verification is on record under the same name, as an asset's."""
    return f"{ROOT}/{month}"


def is_month(asset: str) -> bool:
    """Whether a name among the assets is that of a month that is set apart."""
    return asset.startswith(f"{ROOT}/")


def months_on_record(records: Mapping[tuple[str, str], Record]) -> dict[str, Record]:
    """Of all verifications on record, those of months, by month."""
    return {asset.rpartition("/")[2]: each for (asset, _), each in records.items() if is_month(asset)}


def due_months(
    marked: Collection[str], records: Mapping[str, Record], now: datetime, retention: timedelta
) -> tuple[str, ...]:
    """The months to verify now: the newest, and of the others the one whose verification is oldest.

    Besides, what has damage on record, so that its healing is seen; and a month on record whose mark is gone
    before its retention let anything of it go.
    """
    *others, newest = sorted(marked) or [""]
    oldest = min(others, key=lambda month: (_verified_at(records.get(month)), month), default="")
    damaged = [month for month in others if _is_damaged(records.get(month))]
    lost = [month for month in records if month not in marked and now < _begin(month) + retention]
    return tuple(month for month in dict.fromkeys([newest, oldest, *damaged, *sorted(lost)]) if month)


def is_of(label: str, name: str) -> bool:
    """Whether a file of a month's repository is its backup's, or no backup's; not a broken-off run's."""
    labels = [part for part in name.split("/") if is_label(part)]
    return not labels or label in labels


def missing_segments(backup: FullBackup, keys: Iterable[str]) -> list[str]:
    """The WAL of a backup that is not among some objects, for segments of 16 MiB."""
    have = {key.rpartition("/")[2][:_SEGMENT] for key in keys}
    first, last = Segment.parse(backup.start), Segment.parse(backup.stop)
    needed = (Segment(first.timeline, number).name() for number in range(first.number, last.number + 1))
    return [name for name in needed if name not in have]


def month_of(moment: datetime) -> str:
    """The month's name, such as "2026-11"."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def _backup(label: str, told: dict[str, Any], versions: dict[str, str]) -> FullBackup:
    number = str(told["db-id"])
    return FullBackup(
        label=label,
        archive=f"{versions[number]}-{number}",
        start=told["backup-archive-start"],
        stop=told["backup-archive-stop"],
        stopped_at=datetime.fromtimestamp(told["backup-timestamp-stop"], UTC),
    )


def _verified_at(record: Record | None) -> datetime:
    return record.at if isinstance(record, Verified) else _NEVER


def _is_damaged(record: Record | None) -> bool:
    return isinstance(record, Verified) and bool(record.damages)


def _begin(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
