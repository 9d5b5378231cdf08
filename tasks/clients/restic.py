"""The files' repository: one restic repository a site, written by the active site, copied by the others.

A snapshot holds an asset's directory by its path in the plan, whatever host it came from, so that the next
host's snapshots go on where the last one's ended. Its tags are the asset's name and the source's size.

Source: restic manual; restic 0.14.
"""

import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.clients import restic_birth
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket, Missing
from tasks.clients.restic_check import check
from tasks.clients.restic_command import PREFIX, On, Place, Said, restic
from tasks.clients.trees import contents, require_empty, settle
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

__all__ = ["Snapshot", "backup", "check", "forget", "restore", "snapshots"]

Tell = Callable[[float, float], None]
_CACHE = "var/cache/restic"
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\*?["})
_INCOMPLETE, _INCOMPLETE_TAG = "exit 3", "incomplete"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot.

    Attributes:
        id: restic's, whole.
        asset: "files/NAME".
        at: when it was taken.
        size: the bytes of its files.
        files: how many files its source had.
        whole: whether every file of its source could be read.
    """

    id: str
    asset: str
    at: datetime
    size: int
    files: int = 0
    whole: bool = True


def backup(  # noqa: PLR0913 -- what, from where, when, and how long at most
    plan: Plan,
    site: str,
    host: str,
    asset: str,
    path: str,
    *,
    at: datetime | None = None,
    tell: Tell | None = None,
    timeout: float,
) -> str:
    """Take a snapshot of a host's directory into its site's repository, which is made where there is none.

    Args:
        plan: the plan.
        site: the site of the host; its own repository is the only one it writes.
        host: where the directory is, and where restic runs.
        asset: "files/NAME".
        path: the directory, as the plan says it.
        at: the moment that the snapshot claims; now where None.
        tell: told (bytes done, bytes in all).
        timeout: seconds.

    Returns:
        the snapshot's id.

    Raises:
        Refused: the plan wants no encryption, which restic does not offer, or the source holds no file.
        Permanent: a file cannot be read, the store refuses, or restic failed.
        Transient: the host or the store does not answer, or the repository is locked.
    """
    _require_encryption(plan)
    restic_birth.ensure(plan, site)
    on, root = On(site, host), Layout.of(plan, site, host).root
    files, size = contents(plan, on, _below(root, path), timeout=timeout)
    if not files:
        hint = "is its file system mounted? what is meant to be empty is not an asset"
        raise Refused(f"{path} on {host} holds no file", f"asset {asset}", hint)
    place = Place(on, root, root / _CACHE)
    _clear_stale_locks(plan, site, place)
    held = snapshots(plan, site)
    parent = max((each for each in held if each.asset == asset), key=_when, default=None)
    arguments = [
        "backup", "--json", f"--host={plan.service.name}", f"--compression={_compression(plan)}",
        f"--tag={asset}", f"--tag=files={files}", f"--tag=bytes={size}",
        *([f"--parent={parent.id}"] if parent else []),
        *([f"--time={at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"] if at else []),
        "--", path.lstrip("/"),
    ]  # fmt: skip
    hear = _progress(tell, size)
    try:
        said = restic(plan, site, arguments, timeout=timeout, place=place, writes=True, hear=hear)
    except Permanent as error:
        if error.detail.startswith(_INCOMPLETE):
            _mark_incomplete(plan, site, {each.id for each in held})
            message = f"files of {asset} cannot be read: the snapshot is not whole"
            raise Permanent(message, error.detail, "let the account that backs up read them") from error
        raise
    return _whole_id(plan, site, said)


def snapshots(plan: Plan, site: str, *, timeout: float = 60) -> tuple[Snapshot, ...]:
    """Every snapshot of a site's repository, oldest first; none where there is no repository yet.

    Raises:
        Permanent: the repository cannot be opened.
        Transient: the store does not answer.
    """
    if not _exists(plan, site):
        return ()
    said = restic(plan, site, ["snapshots", "--json"], timeout=timeout)
    found = said.values[-1] if said.values else None
    if not isinstance(found, list):
        raise Permanent(f"restic tells no snapshots of {site}", said.text)
    return tuple(sorted(map(_snapshot, found), key=_when))


def forget(plan: Plan, site: str, ids: Sequence[str], *, timeout: float) -> None:
    """Remove snapshots, and the data that no other needs, from a site's repository.

    Interrupted, it leaves every other snapshot readable; the next one finishes it. An exclusive lock keeps
    it from any repository that somebody writes.

    Raises:
        Transient: somebody holds the repository, or the store does not answer.
        Permanent: the store refuses, or restic failed.
    """
    if not ids:
        return
    if not _exists(plan, site):
        raise Permanent(f"{site} has no files' repository", f"to forget {len(ids)} snapshots of")
    with tempfile.TemporaryDirectory(prefix="naas-dr-") as cache:
        place = Place(cache=Path(cache))
        _clear_stale_locks(plan, site, place)
        arguments = ["forget", "--prune", *ids]
        restic(plan, site, arguments, timeout=timeout, place=place, writes=True)


def restore(  # noqa: PLR0913 -- what, from where, where to
    plan: Plan,
    site: str,
    snapshot_id: str,
    into: Path,
    *,
    include: str | None = None,
    on: On | None = None,
    timeout: float,
) -> None:
    """Bring a snapshot back, all of it or one path, and compare every file with its recorded content.

    What is restored lies below `into` by its path in the plan. It appears there whole or not at all: an
    interrupted attempt leaves `into` as it was.

    Args:
        plan: the plan.
        site: whose repository; the others are not asked for anything.
        snapshot_id: which snapshot.
        into: a directory that is empty or not there; on a host, below its root.
        include: one file or directory, by its path in the plan.
        on: the host to restore on; here where None.
        timeout: seconds.

    Raises:
        Refused: `into` holds something.
        Permanent: a file is damaged, or the snapshot does not have the path.
        Transient: the store does not answer.
    """
    target = _below(Layout.of(plan, *on).root, str(into)) if on else into.absolute()
    partial = target.with_name(f".{target.name}.restoring")
    require_empty(plan, on, target, partial)
    chosen = [f"--include={include.rstrip('/').translate(_SPECIAL)}"] if include else []
    with tempfile.TemporaryDirectory(prefix="naas-dr-") as cache:
        place = Place(on) if on else Place(cache=Path(cache))
        arguments = ["restore", snapshot_id, f"--target={partial}", "--verify", *chosen]
        restic(plan, site, arguments, timeout=timeout, place=place)
    settle(plan, on, partial, target, include or "")


def _require_encryption(plan: Plan) -> None:
    if not plan.backup_strategy.filesystem.encryption:
        hint = "set backup_strategy.filesystem.encryption to true"
        raise Refused("files are never backed up in plain text", "restic encrypts whatever it stores", hint)


def _compression(plan: Plan) -> str:
    # Of 73 MB, text and noise, auto makes 49.7 MB in 1.2 s of CPU, max 49.0 MB in 4.9 s and twice the memory.
    return "auto" if plan.backup_strategy.filesystem.compression else "off"


def _exists(plan: Plan, site: str) -> bool:
    bucket = Bucket.readable(plan, site)
    with suppress(Missing):
        bucket.head(f"{PREFIX}/config")
        return True
    _, left = bucket.children(f"{PREFIX}/snapshots")
    if left:
        detail = f"{len(left)} snapshots, no {PREFIX}/config"
        raise Permanent(f"the files' repository of {site} has lost its config", detail)
    return False


def _clear_stale_locks(plan: Plan, site: str, place: Place) -> None:
    """Remove the locks of runs that died; restic keeps those of a living process or younger than 30 min."""
    _, locks = Bucket.readable(plan, site).children(f"{PREFIX}/locks")
    if locks:
        restic(plan, site, ["unlock"], timeout=120, place=place, writes=True)


def _progress(tell: Tell | None, size: int) -> Callable[[Any], None] | None:
    if tell is None:
        return None
    return lambda status: tell(status.get("bytes_done", 0), max(size, status.get("total_bytes", 0)))


def _whole_id(plan: Plan, site: str, said: Said) -> str:
    """The id of the snapshot that a backup made, seen in the bucket."""
    made = next((value["snapshot_id"] for value in said.values if "snapshot_id" in value), "")
    _, held = Bucket.readable(plan, site).children(f"{PREFIX}/snapshots")
    whole = [name for entry in held if (name := entry.key.rpartition("/")[2]).startswith(made)]
    if not made or len(whole) != 1:
        raise Permanent("restic ended well but its snapshot is not in the bucket", f"{site}: {made}")
    return whole[0]


def _mark_incomplete(plan: Plan, site: str, before: Collection[str]) -> None:
    """Tell a snapshot that lacks files from a good one: better than none, and not what was asked for."""
    new = [each.id for each in snapshots(plan, site) if each.id not in before]
    if new:
        restic(plan, site, ["tag", f"--add={_INCOMPLETE_TAG}", *new], timeout=120, writes=True)


def _snapshot(found: dict[str, Any]) -> Snapshot:
    tags = found.get("tags") or []
    facts = dict(tag.split("=", 1) for tag in tags if "=" in tag)
    asset = next((tag for tag in tags if tag.startswith("files/")), "")
    return Snapshot(
        id=found["id"],
        asset=asset,
        at=datetime.fromisoformat(_micros(found["time"])),
        size=int(facts.get("bytes", 0)),
        files=int(facts.get("files", 0)),
        whole=_INCOMPLETE_TAG not in tags,
    )


def _micros(moment: str) -> str:
    """Go writes nanoseconds, and drops trailing zeros; Python 3.11 reads six digits."""
    head, point, rest = moment.partition(".")
    if not point:
        return moment
    digits = rest.rstrip("Z").partition("+")[0]
    return f"{head}.{digits[:6]:0<6}+00:00"


def _when(snapshot: Snapshot) -> datetime:
    return snapshot.at


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
