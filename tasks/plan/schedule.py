"""When something runs, in the seed's words: a cron expression with its time zone, or an event."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim

from tasks.plan.base import Phrase
from tasks.plan.values import refusal

_ON_CHANGE = "on every change"
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_EVERY = re.compile(r"every(?: ([0-9]{1,4}))? (minute|hour)s?")
_CALENDAR = re.compile(
    r"(daily|weekly|monthly|quarterly|semi-annually|annually)"
    rf"(?: on ({'|'.join(WEEKDAYS)}))?(?: at ([0-9:]+)(?: (AM|PM))?(?: (\S+))?)?"
)
# The plan says "monthly" and leaves the day to us. Each frequency has a day of the month of its own,
# so that no two drills ever start together, at an hour between the usual backups.
_DAYS = {
    "daily": "* *",
    "monthly": "1 *",
    "quarterly": "8 1,4,7,10",
    "semi-annually": "15 1,7",
    "annually": "22 1",
}
_LONGEST_GAP_DAYS = {
    "daily": 1,
    "weekly": 7,
    "monthly": 31,
    "quarterly": 92,
    "semi-annually": 184,
    "annually": 366,
}
_DEFAULT_TIME = (6, 0)
_ALLOWED = (
    "'daily at 2:00 AM UTC', 'weekly on sunday at 3:00 AM UTC', 'every 4 hours', 'on every change', 'daily', "
    "'weekly', 'monthly', 'quarterly', 'semi-annually' or 'annually', each with a time if wanted"
)


class Schedule(Phrase):
    """When something runs.

    Attributes:
        words: the plan's own words.
        cron: five fields, where time triggers it.
        timezone: an IANA name; what the cron expression is read in.
        event: what triggers it where time does not.
        interval: the longest time between two runs (a daylight-saving hour apart).
    """

    words: str
    cron: str | None = None
    timezone: str = "UTC"
    event: Literal["change"] | None = None
    interval: timedelta | None = None

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read the seed's words; a bare frequency means 6:00 AM UTC.

        Raises:
            PydanticCustomError: no such schedule, an impossible time, or uneven intervals.
        """
        if value == _ON_CHANGE:
            return {"words": value, "event": "change"}
        if isinstance(value, str) and (match := _EVERY.fullmatch(value)):
            return {"words": value, **_every(int(match[1] or 1), match[2])}
        if isinstance(value, str) and (match := _CALENDAR.fullmatch(value)):
            return {"words": value, **_calendar(*match.groups())}
        raise refusal(f"{value!r:.80} is not a schedule", _ALLOWED)

    def written(self) -> str:
        """The plan's own words."""
        return self.words

    def next_times(self, after: datetime, count: int) -> list[datetime]:
        """The next times it runs, in its own time zone; none for an event."""
        if self.cron is None:
            return []
        return list(islice(CronSim(self.cron, after.astimezone(ZoneInfo(self.timezone))), count))


def _every(count: int, unit: str) -> Mapping[str, Any]:
    whole = 60 if unit == "minute" else 24
    if count == 0 or whole % count:
        divisors = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
        raise refusal(f"cron cannot run every {count} {unit}s evenly", f"{divisors} {unit}s")
    step = "0" if count == whole else "*" if count == 1 else f"*/{count}"
    if unit == "minute":
        cron = f"{step} * * * *"
        return {"cron": cron, "interval": timedelta(minutes=count)}
    return {"cron": f"0 {step} * * *", "interval": timedelta(hours=count)}


def _calendar(
    frequency: str, weekday: str | None, time: str | None, half: str | None, zone: str | None
) -> Mapping[str, Any]:
    if weekday and frequency != "weekly":
        raise refusal(f"a weekday does not go with {frequency!r}", "'weekly on sunday at 3:00 AM UTC'")
    hour, minute = clock_time(time, half) if time else _DEFAULT_TIME
    if time and not is_zone(zone):
        raise refusal(f"{zone or 'nothing'} is not a time zone", "UTC, or an IANA name such as Europe/Berlin")
    day = f"{_DAYS[frequency]} *" if frequency != "weekly" else f"* * {WEEKDAYS.index(weekday or 'sunday')}"
    return {
        "cron": f"{minute} {hour} {day}",
        "timezone": zone or "UTC",
        "interval": timedelta(days=_LONGEST_GAP_DAYS[frequency]),
    }


def clock_time(time: str, half: str | None) -> tuple[int, int]:
    """The hour and minute of "2:30" and "PM", or of "14:30" and nothing.

    Raises:
        PydanticCustomError: there is no such time.
    """
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", time)
    hour, minute = (int(match[1]), int(match[2])) if match else (99, 99)
    earliest, latest = (1, 12) if half else (0, 23)
    if not earliest <= hour <= latest or minute > 59:
        raise refusal(
            f"{time} {half or ''}".strip() + " is not a time", "1:00 to 12:59 AM or PM, or 0:00 to 23:59"
        )
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    return hour, minute


def is_zone(name: str | None) -> bool:
    """Whether it is an IANA name of a time zone."""
    return name in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
