"""Objectives in words. Pure."""

from datetime import timedelta

from tasks.facts.objectives import Achieved, Forecast
from tasks.policy.tables import moment, size, span, table

_JUDGED = {True: "met", False: "MISSED", None: "not known"}


def objectives_markdown(found: Achieved, restores: Forecast | None) -> str:
    """A service's objectives as one page."""
    head = f"# {found.service}: {found.tier} tier, {moment(found.since)} to {moment(found.until)} UTC"
    rows = [
        (each.name, each.target, each.measured or "nothing to measure", _JUDGED[each.met])
        for each in found.objectives
    ]
    parts = [head, table(("objective", "promised", "measured", ""), rows), _summary(found)]
    return "\n\n".join([*parts, *([_forecast(restores)] if restores else [])])


def _summary(found: Achieved) -> str:
    budget = timedelta(seconds=found.budget_left_seconds)
    overdrawn = budget < timedelta()
    left = f"overdrawn by {span(budget)}" if overdrawn else f"{span(budget)} of the error budget left"
    mean = "no failure"
    if found.mttr_seconds is not None and found.mtbf_seconds is not None:
        mttr, mtbf = timedelta(seconds=found.mttr_seconds), timedelta(seconds=found.mtbf_seconds)
        mean = f"MTTR {span(mttr)}, MTBF {span(mtbf)}"
    happened = f"Lost {found.failures} times, moved {found.moves} times"
    return f"{happened}; {found.downtime_seconds:.1f} s without users served; {left}; {mean}."


def _forecast(restores: Forecast) -> str:
    speed = f"{size(int(restores.bytes_per_second))} a second"
    now = f"A restore of {size(restores.bytes_now)} takes {restores.seconds_now:.0f} s at {speed}"
    if restores.late_at is None:
        return f"{now}; at its growth it stays within the RTO."
    return f"{now}; at its growth it is longer than the RTO from {moment(restores.late_at)} UTC on."
