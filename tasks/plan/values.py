"""The seed's way of writing values: durations, percentages, schedules."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "year": 365 * 86400}
_DURATION = re.compile(r"(\d+) (second|minute|hour|day|week|year)s?")


def parse_duration(value: Any) -> timedelta:
    """Parse "30 seconds" or "4 hours".

    Raises:
        ValueError: anything else, zero and negative durations included.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("a duration such as '30 seconds' or '4 hours'")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
