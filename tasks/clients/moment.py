"""A moment that somebody wrote down for a machine."""

from datetime import datetime

from tasks.errors import Refused


def require_zone(moment: datetime | None) -> None:
    """Refuse a moment without a time zone: nobody can tell when it is.

    Raises:
        Refused: it has none.
    """
    if moment is not None and moment.tzinfo is None:
        raise Refused("the moment has no time zone", moment.isoformat(), "end it with Z or an offset")
