"""A sealed point as its manifest describes it. Pure.

The manifest holds the size and SHA-256 of every sealed object, never of a content, which would let a secret
be guessed; and its own SHA-256, over itself without that field.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.errors import Permanent

ROOT = "points"
MANIFEST, SUFFIX = "manifest.json", ".age"
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class StoredPoint:
    """One whole point.

    Attributes:
        asset: such as "redis" or "secrets/plan".
        stamp: its folder's name: the moment in UTC, to the second.
        at: the moment.
        size: the bytes of its sealed objects.
        objects: of each content's name, the size in bytes and the SHA-256 of the sealed object.
        facts: what its kind wrote down about it; nothing secret.
        root: the folder that it lies below; another one where it is set apart for the long term.
    """

    asset: str
    stamp: str
    at: datetime
    size: int
    objects: Mapping[str, tuple[int, str]]
    facts: Mapping[str, str]
    root: str = field(default=ROOT, compare=False)

    @property
    def folder(self) -> str:
        """Where it lies in every bucket that has it."""
        return f"{self.root}/{self.asset}/{self.stamp}"

    def key(self, name: str) -> str:
        """The object that holds one of its contents.

        Raises:
            Permanent: it has no such content.
        """
        if name not in self.objects:
            raise Permanent(f"{self.folder} holds no {name}", ", ".join(sorted(self.objects)))
        return f"{self.folder}/{name}{SUFFIX}"


def moment_of(stamp: str) -> datetime:
    """The moment that a folder's name says."""
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def stamp_of(at: datetime) -> str:
    """A moment as a folder's name: UTC, to the second."""
    return at.astimezone(UTC).strftime(_STAMP)


def manifest_of(point: StoredPoint) -> bytes:
    """A point's manifest: JSON with sorted keys and no spaces, so that every byte of it is accounted for."""
    document: dict[str, Any] = {
        "asset": point.asset,
        "at": point.at.isoformat(),
        "facts": dict(point.facts),
        "objects": {name: {"sha256": sha, "size": size} for name, (size, sha) in point.objects.items()},
    }
    document["digest"] = hashlib.sha256(_canonical(document)).hexdigest()
    return _canonical(document) + b"\n"


def point_of(data: bytes, asset: str, stamp: str) -> StoredPoint:
    """The point that a manifest describes.

    Raises:
        ValueError: it is not what was written there.
    """
    try:
        document = json.loads(data)
        objects = {name: (each["size"], each["sha256"]) for name, each in document["objects"].items()}
        at = datetime.fromisoformat(document["at"])
        size = sum(size for size, _ in objects.values())
        point = StoredPoint(document["asset"], stamp_of(at), at, size, objects, document["facts"])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("the manifest is not readable") from None
    if manifest_of(point) != data:
        raise ValueError("the manifest's own SHA-256 differs")
    if (point.asset, point.stamp) != (asset, stamp):
        raise ValueError(f"the manifest of {point.folder}, at another place")
    return point


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
