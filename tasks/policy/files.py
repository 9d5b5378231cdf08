"""Which snapshot a restore takes, of those that the sites have. Pure."""

from collections.abc import Sequence
from datetime import datetime

from tasks.facts.backups import Point


def choose_snapshot(
    points: Sequence[Point], at: datetime | None = None, name: str | None = None
) -> Point | None:
    """The point to restore from.

    Args:
        points: one asset's, of every site that may be asked; of equal ones the first site's is taken.
        at: the newest that is not younger than this moment is wanted.
        name: the beginning of the wanted snapshot's id.

    Returns:
        the newest that fits; None where none does.
    """
    fitting = [
        point for point in points if (at is None or point.at <= at) and point.name.startswith(name or "")
    ]
    return max(fitting, key=lambda point: point.at, default=None)
