"""The long-term points of the archive site: one folder a month, whole when its mark is there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from tasks.clients.objects import Bucket, Missing
from tasks.errors import Permanent
from tasks.plan.plan import Plan

ROOT = "long-term"
MARK = "point.json"


class Unreadable(Permanent):
    """A month's mark is damaged."""


@dataclass(frozen=True)
class LongTermPoint:
    """One month's point.

    Attributes:
        month: such as "2026-11".
        label: the database backup in it.
        at: the moment that the database is restored to.
        until: when its objects may be deleted; nobody can before.
        objects: how many objects it is made of.
        size: their bytes.
        points: the stamp of the sealed point of each other asset that is in it.
    """

    month: str
    label: str
    at: datetime
    until: datetime
    objects: int
    size: int
    points: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its folder in the archive's bucket; `NAME/pgbackrest` is a pgBackRest repository."""
        return f"{ROOT}/{self.month}"


def long_term_points(plan: Plan) -> tuple[LongTermPoint, ...]:
    """Every whole point, oldest first.

    Raises:
        Transient, Permanent: see `Bucket`; Permanent where a mark is damaged.
    """
    bucket = Bucket.readable(plan, plan.site_of("archive"))
    found = (read_point(bucket, month) for month in _months(bucket))
    return tuple(point for point in found if point is not None)


def marked_months(plan: Plan) -> Mapping[str, LongTermPoint | None]:
    """Every month that has a mark, oldest first, and its point; None where the mark is damaged.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket = Bucket.readable(plan, plan.site_of("archive"))
    found: dict[str, LongTermPoint | None] = {}
    for month in _months(bucket):
        try:
            if point := read_point(bucket, month):
                found[month] = point
        except Unreadable:
            found[month] = None
    return found


def read_point(bucket: Bucket, month: str) -> LongTermPoint | None:
    """A month's point; None where it is not there, or not whole.

    Raises:
        Unreadable: its mark is damaged.
    """
    key = f"{ROOT}/{month}/{MARK}"
    try:
        told = json.loads(bucket.get(key))
        told |= {name: datetime.fromisoformat(told[name]) for name in ("at", "until")}
        return LongTermPoint(**told)
    except Missing:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"{key} in {bucket.name} cannot be read", str(error)) from error


def write_point(bucket: Bucket, point: LongTermPoint) -> tuple[str, LongTermPoint]:
    """Mark a month's point as whole, unless it is: the mark's key, and what it says then."""
    key = f"{ROOT}/{point.month}/{MARK}"
    bucket.create(key, json.dumps(asdict(point), sort_keys=True, default=datetime.isoformat).encode())
    return key, read_point(bucket, point.month) or point


def _months(bucket: Bucket) -> list[str]:
    return sorted(folder.rpartition("/")[2] for folder in bucket.children(ROOT)[0])
