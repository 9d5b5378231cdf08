"""Who copies from whom, and what of a pgBackRest repository is copied in which order. Pure.

Source: design, "Copies are pulled, never pushed"; pgBackRest user guide, "Repository".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.clients.objects import Entry
from tasks.clients.walnames import parse_archived
from tasks.errors import Refused
from tasks.plan.sites import Role

_LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
_MANIFEST, _MANIFEST_COPY = "backup.manifest", "backup.manifest.copy"
_INFO = re.compile(r"(archive|backup)\.info(\.copy)?")
# Asynchronous archiving may finish segments out of order, but not further back than this.
_NEWEST_DIRECTORIES = 2


@dataclass(frozen=True)
class Pull:
    """One copy: the target site reads the source site's repository."""

    source: str
    target: str


def replication_pairs(roles: Mapping[str, Role], active: str) -> tuple[Pull, ...]:
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


@dataclass(frozen=True)
class CopyOrder:
    """What to copy, phase by phase: after each of them the copy can be restored from.

    Attributes:
        phases: data and WAL first, then the manifests that complete a backup. The info files that name the
            backups come after all of them, as they were read before the source was listed.
        skipped: objects that are the same already.
        postponed: objects of backups that are still being written.
        conflicts: keys that may never change, and differ.
    """

    phases: tuple[tuple[Entry, ...], ...]
    skipped: int
    postponed: int
    conflicts: tuple[str, ...]


def is_same(entry: Entry, held: Entry | None) -> bool | None:
    """Whether the copy is the source's object; None where only the copy's own record can tell."""
    if held is None or held.size != entry.size:
        return False
    return True if held.etag == entry.etag else None


def order_copy(source: Sequence[Entry], held: Iterable[str], changed: Iterable[str]) -> CopyOrder:
    """Sort one listing of a repository into what is copied when.

    Args:
        source: the listing.
        held: the keys that the copy has.
        changed: those of the listed keys that the copy lacks or has otherwise.
    """
    have, want = frozenset(held), frozenset(changed)
    finished = {label_of(entry.key) for entry in source if _name(entry.key) == _MANIFEST}
    body = [entry for entry in source if not _INFO.fullmatch(_name(entry.key))]
    ready = [entry for entry in body if label_of(entry.key) in {None, *finished}]
    new = [entry for entry in ready if entry.key in want]
    fixed = {entry.key for entry in new if entry.key in have and _never_changes(entry.key, have)}
    copied = sorted((entry for entry in new if entry.key not in fixed), key=lambda entry: entry.key)
    last = {_MANIFEST, _MANIFEST_COPY}
    data = tuple(entry for entry in copied if _name(entry.key) not in last)
    manifests = tuple(entry for entry in copied if _name(entry.key) in last)
    return CopyOrder((data, manifests), len(ready) - len(new), len(body) - len(ready), tuple(sorted(fixed)))


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


def _never_changes(key: str, have: frozenset[str]) -> bool:
    """A segment is named by its checksum, and a backup is closed by its manifest: both are final."""
    label = label_of(key)
    if label is None:
        return parse_archived(_name(key)) is not None
    folder = key[: key.index(label) + len(label)]
    return f"{folder}/{_MANIFEST}" in have


def _name(key: str) -> str:
    return key.rpartition("/")[2]
