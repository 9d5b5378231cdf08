"""What is seen of the backups of every kind, as frozen facts."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Point:
    """One recoverable point of an asset at a site.

    Attributes:
        asset: "database", "redis", "files/NAME", "configuration/NAME" or "secrets/NAME".
        site: whose bucket holds it.
        name: what its kind calls it: a backup's label, a snapshot's id, a point's folder.
        variant: "full", "incr", "snapshot" or "long-term".
        at: the moment it restores to; of a database backup the earliest one.
        until: the newest moment that a recovery from it can reach where WAL goes on; else None.
        size: its bytes in the bucket.
        needs: the names of the points that it cannot be restored without.
        good: whether its kind calls it complete.
    """

    asset: str
    site: str
    name: str
    variant: str
    at: datetime
    until: datetime | None = None
    size: int = 0
    needs: tuple[str, ...] = ()
    good: bool = True


@dataclass(frozen=True)
class Damage:
    """Something in a repository that is not what was written.

    Attributes:
        asset: the asset it belongs to; the repository's name where it belongs to several.
        site: whose bucket holds it.
        name: the object's key, or the file inside it.
        what: how it differs.
    """

    asset: str
    site: str
    name: str
    what: str


@dataclass(frozen=True)
class Verified:
    """One verification of an asset's copies at a site.

    Attributes:
        asset: the asset, or the repository of several.
        site: whose bucket.
        at: when it ended.
        method: what was done, in words.
        objects: how many objects were compared or read.
        bytes: how many bytes were read.
        damages: what was found; none means good.
    """

    asset: str
    site: str
    at: datetime
    method: str
    objects: int = 0
    bytes: int = 0
    damages: tuple[Damage, ...] = ()


@dataclass(frozen=True)
class Expiry:
    """What is to be removed of an asset at a site, and why the rest stays.

    Attributes:
        asset: the asset.
        site: whose bucket.
        remove: the points past their retention, dependents first.
        kept: how many stay.
        spared: points past their retention that stay all the same, each with the reason.
    """

    asset: str
    site: str
    remove: tuple[Point, ...]
    kept: int
    spared: tuple[tuple[str, str], ...] = ()
