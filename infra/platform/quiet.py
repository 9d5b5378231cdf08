"""When warnings are silent: the plan's maintenance windows as Alertmanager's time intervals."""

from collections.abc import Iterator
from datetime import time
from typing import Any

from tasks.plan.plan import Plan
from tasks.plan.schedule import WEEKDAYS
from tasks.plan.window import Window

MAINTENANCE = "maintenance"
_MIDNIGHT = "24:00"


def time_intervals(plan: Plan) -> list[dict[str, Any]]:
    """The one named interval that routes of warnings refer to; none where the plan has no window."""
    if not plan.maintenance:
        return []
    spans = [span for window in plan.maintenance for span in _spans(window)]
    return [{"name": MAINTENANCE, "time_intervals": spans}]


def muted(plan: Plan) -> dict[str, list[str]]:
    """What a route of warnings gets."""
    return {"mute_time_intervals": [MAINTENANCE]} if plan.maintenance else {}


def _spans(window: Window) -> Iterator[dict[str, Any]]:
    """A window that ends on the next day is two spans there."""
    if window.opens < window.closes:
        yield _span(window, window.days, f"{window.opens:%H:%M}", f"{window.closes:%H:%M}")
        return
    yield _span(window, window.days, f"{window.opens:%H:%M}", _MIDNIGHT)
    if window.closes > time(0):
        following = frozenset((day + 1) % len(WEEKDAYS) for day in window.days)
        yield _span(window, following, "00:00", f"{window.closes:%H:%M}")


def _span(window: Window, days: frozenset[int], begins: str, ends: str) -> dict[str, Any]:
    return {
        "times": [{"start_time": begins, "end_time": ends}],
        "weekdays": [WEEKDAYS[day] for day in sorted(days)],
        "location": window.timezone,
    }
