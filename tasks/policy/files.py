"""Which snapshot a restore takes, of those that the sites have. Pure."""

from collections.abc import Sequence
from datetime import datetime

from tasks.errors import Refused
from tasks.facts.backups import Point


def choose_snapshot(
    points: Sequence[Point], at: datetime | None = None, name: str | None = None
) -> Point | None:
    """The point to restore from.

    Args:
        points: one asset's, of every site that may be asked; of equal ones the first site's is taken.
        at: the newest that is not younger than this moment is wanted.
        name: the beginning of the wanted snapshot's id; only so one that is not good is taken.

    Returns:
        the newest that fits; None where none does.

    Raises:
        Refused: the ids of several begin so.
    """
    wanted = (point for point in points if (point.name.startswith(name) if name else point.good))
    fitting = [point for point in wanted if at is None or point.at <= at]
    names = sorted({point.name for point in fitting})
    if name and len(names) > 1:
        raise Refused(f"{name} begins several snapshots", ", ".join(names), "give more of its id")
    return max(fitting, key=lambda point: point.at, default=None)
