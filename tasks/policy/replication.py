"""Who copies from whom, and what of a repository is copied in which order. Pure.

Source: design, "Copies are pulled, never pushed"; pgBackRest user guide, "Repository"; restic's
"Repository Format".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tasks.errors import Refused

if TYPE_CHECKING:  # see tasks.clients.objects
    from tasks.plan.sites import Role

_LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
_INFO = re.compile(r"(archive|backup)\.info(\.copy)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Asynchronous archiving may finish segments out of order, but not further back than this.
_NEWEST_DIRECTORIES = 2
# Labels carry the local time of the host that took the backup.
_ZONE = timedelta(hours=14)


@dataclass(frozen=True)
class Pull:
    """One copy: the target site reads the source site's repositories."""

    source: str
    target: str


def replication_pairs(roles: Mapping[str, "Role"], active: str) -> tuple[Pull, ...]:
    """Who pulls from whom, in the order in which new backups travel; nobody writes into the active site's.

    Every other site that can take over pulls from the active one; the archive pulls from the DR site.

    Raises:
        Refused: the active site is unknown, or is the archive.
    """
    if roles.get(active, "archive") == "archive":
        raise Refused(f"{active} cannot be the active site", f"sites: {', '.join(roles)}")
    standbys = [Pull(active, site) for site, role in roles.items() if role != "archive" and site != active]
    from_dr = next(site for site, role in roles.items() if role == "dr")
    archives = [Pull(from_dr, site) for site, role in roles.items() if role == "archive"]
    return (*standbys, *archives)


def _no_unit(_key: str) -> None:
    return None


def _no_object(_key: str) -> bool:
    return False


def _no_digest(_key: str) -> None:
    return None


@dataclass(frozen=True)
class Repository:
    """How one kind of repository is copied so that the copy can be restored from after every phase.

    Identity first, then the data, then what closes the units of it, then what names it.

    Attributes:
        root: its folder in the bucket.
        data: what is listed and copied while it is listed, by prefix.
        identity: objects, or folders of them, that must be equal: else it is another repository.
        named_last: folders listed before the data and copied after it, in this order; they name only what is
            listed afterwards.
        infos: objects read before anything is listed and written after everything.
        unit: the unit (a backup, a point) that an object belongs to; None if it stands for itself.
        closes: whether an object, the last that is written, makes its unit complete.
        closes_first: whether that object is listed before the others of its unit.
        last: whether an object waits until the rest of its unit has arrived.
        digest: the SHA-256 that an object's name promises.
        ignored: whether an object is never copied.
    """

    root: str
    data: tuple[str, ...]
    identity: tuple[str, ...] = ()
    named_last: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    unit: Callable[[str], str | None] = _no_unit
    closes: Callable[[str], bool] = _no_object
    closes_first: bool = False
    last: Callable[[str], bool] = _no_object
    digest: Callable[[str], str | None] = _no_digest
    ignored: Callable[[str], bool] = _no_object


def repositories(stanza: str) -> dict[str, Repository]:
    """Every repository of a site's bucket, by its root."""
    archive, backups = f"pgbackrest/archive/{stanza}", f"pgbackrest/backup/{stanza}"
    database = Repository(
        root="pgbackrest",
        data=(archive, backups),
        # The first of each pair is what pgBackRest reads, the second what it falls back to.
        infos=(
            *(f"{archive}/archive.info{end}" for end in ("", ".copy")),
            *(f"{backups}/backup.info{end}" for end in ("", ".copy")),
        ),
        unit=_backup_of,
        closes=lambda key: _name(key) == "backup.manifest",
        closes_first=True,
        last=lambda key: _name(key) in {"backup.manifest", "backup.manifest.copy"},
        ignored=_is_info,
    )
    files = Repository(
        root="restic",
        data=("restic/data",),
        identity=("restic/config", "restic/keys"),
        named_last=("restic/index", "restic/snapshots"),
        # Every name but `config` is the SHA-256 of the content.
        digest=lambda key: _name(key) if _SHA256.fullmatch(_name(key)) else None,
        ignored=lambda key: key.startswith("restic/locks/"),
    )
    points = Repository(
        root="points",
        data=("points",),
        unit=lambda key: key.rpartition("/")[0],
        closes=lambda key: _name(key) == "manifest.json",
        last=lambda key: _name(key) == "manifest.json",
        # Who writes the point holds it by this until the manifest is there.
        ignored=lambda key: _name(key) == "claim",
    )
    return {each.root: each for each in (database, files, points)}


def lost_backups(kept: Iterable[str], keep: Mapping[str, timedelta], now: datetime) -> list[str]:
    """Of the backups that only the copy has, those that the source should still have.

    Args:
        kept: labels.
        keep: the retention of "full" and of "incr".
        now: the moment of the decision.
    """
    labels = [label for label in kept if _LABEL.fullmatch(label)]
    return [label for label in labels if now - taken_at(label) < keep[kind_of(label)] - _ZONE]


def taken_at(label: str) -> datetime:
    """When a backup began, as far as its label tells: in the zone of the host that took it."""
    stamp = label.rpartition("_")[2].rstrip("FDI")
    return datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def kind_of(label: str) -> str:
    """A backup's retention class: "full" or "incr"."""
    return "incr" if "_" in label else "full"


def recent_directories(source: Iterable[str], held: Iterable[str]) -> list[str]:
    """The WAL directories a quick pass looks into, of all that the source has.

    Those the copy lacks, and all from the last that it has on: a pass that broke off may have left those
    incomplete. What is missing further back is for a whole pass.
    """
    theirs, ours = sorted(source), sorted(held)
    newest = (theirs[-_NEWEST_DIRECTORIES:], ours[-_NEWEST_DIRECTORIES:])
    first = min((names[0] for names in newest if names), default="")
    return [name for name in theirs if name >= first or name not in ours]


def label_of(key: str) -> str | None:
    """The backup that an object belongs to; None for WAL, info files and the backups' history."""
    return next((part for part in key.split("/")[:-1] if _LABEL.fullmatch(part)), None)


def _backup_of(key: str) -> str | None:
    return label_of(key)


def _is_info(key: str) -> bool:
    return _INFO.fullmatch(_name(key)) is not None


def _name(key: str) -> str:
    return key.rpartition("/")[2]
