"""What a sealed point holds: opened with the recovery key, or compared with what was written."""

import io
from pathlib import Path

from tasks.clients import sealing
from tasks.clients.manifest import MANIFEST, StoredPoint, point_of
from tasks.clients.objects import Bucket
from tasks.clients.sealed_objects import Digest, read_stream, sha256_of
from tasks.clients.sealing import Writer
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

_REQUEST_S = 120.0  # one request, a part of a large object


def open_point(plan: Plan, site: str, point: StoredPoint, name: str) -> bytes:
    """One content of a point, opened with the recovery key; for what is small.

    Raises:
        Permanent: the object is not what was written, or the key does not open it.
        Transient: the store does not answer.
    """
    into = io.BytesIO()
    open_into(plan, site, point, name, into)
    return into.getvalue()


def open_to(plan: Plan, site: str, point: StoredPoint, name: str, path: Path) -> None:
    """Write one content of a point to a file that is not there yet, mode 0600; removed again on failure.

    Raises:
        Permanent, Transient: see `open_point`.
        Refused: the file exists.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise Refused(f"{path} exists", hint="name a file that does not") from None
    try:
        with path.open("wb") as file:
            open_into(plan, site, point, name, file)
    except BaseException:
        path.unlink()
        raise


def open_into(plan: Plan, site: str, point: StoredPoint, name: str, into: Writer) -> None:
    """Open one content of a point as a stream; it is whole when this returns.

    Raises:
        Permanent, Transient: see `open_point`.
    """
    key, (_, expected) = point.key(name), point.objects[name]
    digest = Digest()
    try:
        sealing.open_sealed(plan, read_stream(Bucket.readable(plan, site, _REQUEST_S), key, digest), into)
    except Permanent as error:
        detail = f"{error.message}: {error.detail}"
        raise Permanent(f"{key} at {site} does not open", detail, error.hint) from error
    if digest.hex != expected:
        raise Permanent(f"{key} at {site} is not what was written", "its SHA-256 differs")


def damages(plan: Plan, site: str, point: StoredPoint, *, read: bool) -> tuple[tuple[str, str], ...]:
    """How a point at a site differs from what was written: each object's key, and what is wrong.

    Args:
        plan: the plan.
        site: whose bucket, read as its reader.
        point: as any site's manifest describes it.
        read: read every object and compare its SHA-256; else sizes are compared, by one listing.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket = Bucket.readable(plan, site, _REQUEST_S)
    found = {entry.key: entry for entry in bucket.list(point.folder)}
    wrong = []
    for name, (size, expected) in {MANIFEST: (0, ""), **point.objects}.items():
        key = f"{point.folder}/{name}" if name == MANIFEST else point.key(name)
        if key not in found:
            wrong.append((key, "missing"))
        elif name == MANIFEST:
            wrong += _manifest_damage(bucket, key, point) if read else []
        elif found[key].size != size:
            wrong.append((key, f"{found[key].size} bytes, {size} were written"))
        elif read and sha256_of(bucket, key) != expected:
            wrong.append((key, "SHA-256 differs"))
    return tuple(wrong)


def _manifest_damage(bucket: Bucket, key: str, point: StoredPoint) -> list[tuple[str, str]]:
    try:
        same = point_of(bucket.get(key), point.asset, point.stamp) == point
    except ValueError as error:
        return [(key, str(error))]
    return [] if same else [(key, "another manifest than the one that was written")]
