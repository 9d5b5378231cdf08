"""Sealed points: what is not PostgreSQL's or restic's lies in a site's bucket as one folder a point.

`points/ASSET/STAMP/NAME.age`, each sealed to the recovery recipients, and `manifest.json`, written last: a
folder without a manifest is no point.
"""

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from tasks.clients.manifest import (
    MANIFEST,
    ROOT,
    SUFFIX,
    StoredPoint,
    manifest_of,
    moment_of,
    point_of,
    stamp_of,
)
from tasks.clients.moment import require_zone
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.clients.sealed_objects import put_sealed
from tasks.clients.sealing import Content
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.plan.plan import Plan

__all__ = ["ROOT", "StoredPoint", "stamp_of"]

_CLAIM = "claim"
_REQUEST_S = 120.0  # one request, a part of a large object
_THREADS = 8


@dataclass(frozen=True)
class Survey:
    """Everything below `points/` of one bucket, or of one asset there.

    Attributes:
        points: the whole ones, oldest first.
        broken: the manifests that are not what was written: key, and what is wrong.
        unfinished: the objects that no manifest speaks for: left by a run that was killed, or being written.
    """

    points: tuple[StoredPoint, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    unfinished: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class _Folder:
    asset: str
    stamp: str
    entries: dict[str, Entry] = field(default_factory=dict)


def store(  # noqa: PLR0913 -- what a point is made of
    plan: Plan,
    site: str,
    asset: str,
    at: datetime,
    contents: Mapping[str, Content],
    facts: Mapping[str, str],
) -> StoredPoint:
    """Seal and store one point; it is there, whole, when this returns, and not there before.

    Contents are taken in their order, and facts after them, so that a later one may be made while an earlier
    one passes. Whatever else runs, nothing is overwritten: a claim is made first, the manifest last.

    Args:
        plan: the plan.
        site: whose bucket; written as its owner.
        asset: the asset's name.
        at: the moment the point restores to.
        contents: bytes, a file or a stream, by name.
        facts: what is to be known about it without opening it; in the clear.

    Raises:
        Transient: there is a point of that second already, or one is being written; also see `Bucket`.
        Permanent: see `Bucket` and `sealing.seal`.
    """
    stamp = stamp_of(at)
    folder = f"{ROOT}/{asset}/{stamp}"
    bucket = Bucket.owned(plan, site, _REQUEST_S)
    _claim(bucket, folder)
    try:
        objects = {
            name: put_sealed(plan, bucket, f"{folder}/{_content(name)}{SUFFIX}", content)
            for name, content in contents.items()
        }
        size = sum(size for size, _ in objects.values())
        point = StoredPoint(asset, stamp, moment_of(stamp), size, objects, dict(facts))
        _create(bucket, f"{folder}/{MANIFEST}", manifest_of(point))
    except Exception:
        with suppress(DrError):
            _empty(bucket, folder)
        raise
    bucket.delete(f"{folder}/{_CLAIM}")
    return point


def survey(plan: Plan, site: str, asset: str | None = None) -> Survey:
    """Look through a site's points, as its reader: one listing, and each manifest read.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket = Bucket.readable(plan, site, _REQUEST_S)
    folders, strays = _folders(bucket, f"{ROOT}/{asset}" if asset else ROOT)
    whole = [folder for folder in folders if MANIFEST in folder.entries]
    with ThreadPoolExecutor(_THREADS) as pool:
        read = list(pool.map(lambda folder: _parsed(bucket, folder), whole))
    points = sorted((p for p in read if isinstance(p, StoredPoint)), key=lambda p: (p.at, p.asset))
    spoken = {p.folder: {f"{name}{SUFFIX}" for name in p.objects} | {MANIFEST} for p in points}
    for folder in folders:
        place = f"{ROOT}/{folder.asset}/{folder.stamp}"
        if place in spoken or MANIFEST not in folder.entries:
            known = spoken.get(place, set())
            strays += [entry for name, entry in folder.entries.items() if name not in known]
    return Survey(tuple(points), tuple(p for p in read if isinstance(p, tuple)), tuple(strays))


def stored(plan: Plan, site: str, asset: str | None = None) -> tuple[StoredPoint, ...]:
    """A site's whole points, oldest first; of one asset, or of all.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    return survey(plan, site, asset).points


def pick(
    plan: Plan, site: str, asset: str, at: datetime | None = None, stamp: str | None = None
) -> StoredPoint:
    """The newest point of an asset at a site: not later than a moment, or of a name, where given.

    Raises:
        Refused: there is no such site, or the moment has no time zone.
        Permanent: there is none.
        Transient: see `Bucket`.
    """
    if site not in plan.sites:
        raise Refused(f"there is no site {site}", f"the plan's sites: {', '.join(plan.sites)}")
    require_zone(at)
    fitting = [
        point
        for point in stored(plan, site, asset)
        if (at is None or point.at <= at) and stamp in {None, point.stamp}
    ]
    if not fitting:
        which = "".join([f" at or before {at.isoformat()}" if at else "", f" named {stamp}" if stamp else ""])
        raise Permanent(f"{site} has no point of {asset}{which}", hint="`dr backups` lists what there is")
    return fitting[-1]


def remove(plan: Plan, site: str, point: StoredPoint) -> None:
    """Remove a point, its manifest first: a removal that is cut off leaves no half point behind.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    _empty(Bucket.owned(plan, site, _REQUEST_S), point.folder)


def remove_unfinished(plan: Plan, site: str, *, before: datetime) -> tuple[str, ...]:
    """Remove what no manifest speaks for and was written before a moment; the keys that went.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    old = [entry.key for entry in survey(plan, site).unfinished if entry.modified < before]
    bucket = Bucket.owned(plan, site, _REQUEST_S)
    for key in old:
        bucket.delete(key)
    return tuple(old)


def _content(name: str) -> str:
    if "/" in name:
        raise Permanent(f"{name!r} is not a content's name", hint="no slash")
    return name


def _claim(bucket: Bucket, folder: str) -> None:
    """Make sure that nobody else writes this folder, then that nobody has."""
    _create(bucket, f"{folder}/{_CLAIM}", secrets.token_hex(16).encode())
    with suppress(Missing):
        bucket.head(f"{folder}/{MANIFEST}")
        bucket.delete(f"{folder}/{_CLAIM}")
        raise _taken(bucket, folder)


def _empty(bucket: Bucket, folder: str) -> None:
    """Remove a folder: what makes it a point first, the claim on it last."""
    bucket.delete(f"{folder}/{MANIFEST}")
    for entry in list(bucket.list(folder)):
        if not entry.key.endswith(f"/{_CLAIM}"):
            bucket.delete(entry.key)
    bucket.delete(f"{folder}/{_CLAIM}")


def _create(bucket: Bucket, key: str, data: bytes) -> None:
    """Create an object; one that is there already may be our own, from a request whose answer was lost."""
    if not bucket.create(key, data) and bucket.get(key) != data:
        raise _taken(bucket, key.rpartition("/")[0])


def _taken(bucket: Bucket, folder: str) -> Transient:
    hint = "nothing is overwritten; the next second is another point"
    return Transient(f"{folder} in {bucket.name} exists, or is being written", hint=hint)


def _parsed(bucket: Bucket, folder: _Folder) -> StoredPoint | tuple[str, str]:
    key = f"{ROOT}/{folder.asset}/{folder.stamp}/{MANIFEST}"
    try:
        return point_of(bucket.get(key), folder.asset, folder.stamp)
    except ValueError as error:
        return key, str(error)


def _folders(bucket: Bucket, prefix: str) -> tuple[list[_Folder], list[Entry]]:
    folders: dict[str, _Folder] = {}
    strays = []
    for entry in bucket.list(prefix):
        place, _, name = entry.key.rpartition("/")
        asset, _, stamp = place.removeprefix(f"{ROOT}/").rpartition("/")
        if asset:
            folders.setdefault(place, _Folder(asset, stamp)).entries[name] = entry
        else:
            strays.append(entry)
    return list(folders.values()), strays
