"""A weekly time span, in the seed's way of writing times: when something may be done."""

import re
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tasks.plan.base import Phrase
from tasks.plan.schedule import WEEKDAYS, clock_time, is_zone
from tasks.plan.values import refusal

_TIME = r"([0-9]{1,2}:[0-9]{2})(?: (AM|PM))?"
_DAYS = "|".join(WEEKDAYS)
_WINDOW = re.compile(rf"(daily|(?:{_DAYS})(?:(?:, | and )(?:{_DAYS}))*) from {_TIME} to {_TIME} (\S+)")
_ALLOWED = "'daily from 2:00 AM to 6:00 AM UTC' or 'saturday and sunday from 22:00 to 4:00 Europe/Berlin'"


class Window(Phrase):
    """When something may be done.

    Attributes:
        words: the plan's own words.
        days: the weekdays on which it begins; 0 is Sunday.
        opens: at what time.
        closes: at what time; on the next day where that is not later.
        timezone: an IANA name.
    """

    words: str
    days: frozenset[int]
    opens: time
    closes: time
    timezone: str

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read the words.

        Raises:
            PydanticCustomError: no such window, or an impossible time.
        """
        match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
        if match is None or not is_zone(match[6]):
            raise refusal(f"{value!r:.80} is not a window", _ALLOWED)
        named = re.findall(_DAYS, match[1])
        return {
            "words": value,
            "days": frozenset(map(WEEKDAYS.index, named)) or frozenset(range(len(WEEKDAYS))),
            "opens": time(*clock_time(match[2], match[3])),
            "closes": time(*clock_time(match[4], match[5])),
            "timezone": match[6],
        }

    def written(self) -> str:
        """The plan's own words."""
        return self.words

    def left(self, now: datetime) -> timedelta:
        """How much longer it is open; nothing where it is closed."""
        here = now.astimezone(ZoneInfo(self.timezone))
        for begun in (here, here - timedelta(days=1)):
            opens = datetime.combine(begun.date(), self.opens, here.tzinfo)
            closes = datetime.combine(begun.date(), self.closes, here.tzinfo)
            if closes <= opens:
                closes += timedelta(days=1)
            if begun.isoweekday() % 7 in self.days and opens <= here < closes:
                return closes - here
        return timedelta(0)
