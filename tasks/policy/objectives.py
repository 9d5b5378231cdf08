"""Objectives from evidence: RTO, RPO, MTTR, MTBF, availability, and how restores grow. Pure.

Source: the seed's "Recovery Time and Point Objectives".
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import linear_regression, mean

from tasks.facts.objectives import Achieved, Forecast, Measured
from tasks.facts.report import Report
from tasks.plan.availability import SlaTier
from tasks.plan.sites import Service
from tasks.policy.tables import span

_FAR = timedelta(days=3650)


def achieved(  # noqa: PLR0913 -- what an availability is made of
    service: Service,
    tier: SlaTier,
    reports: Sequence[Report],
    since: datetime,
    until: datetime,
    unended: int = 0,
) -> Achieved:
    """What the reports of a window tell of the service.

    Args:
        service: the service.
        tier: what its tier promises.
        reports: of all incidents; those that were detected outside the window are left out.
        since: the window's begin.
        until: its end.
        unended: how many disasters have no report yet: what they cost is not known.
    """
    within = [report for report in reports if since <= report.detected_at < until]
    failures = [report for report in within if report.kind != "switchover"]
    moves = [report for report in within if report.kind == "switchover"]
    outages = [report.rto_seconds.total for report in failures]
    window = (until - since).total_seconds()
    down = min(window, sum(outages) + sum(report.write_pause_seconds or 0.0 for report in moves))
    available, promised = 1 - down / window, float(tier.availability)
    return Achieved(
        service=service.name,
        tier=service.tier,
        since=since,
        until=until,
        failures=len(failures),
        moves=len(moves),
        downtime_seconds=round(down, 3),
        availability=available,
        budget_left_seconds=round((1 - promised) * window - down, 3),
        mttr_seconds=mean(outages) if outages else None,
        mtbf_seconds=(window - down) / len(failures) if failures else None,
        objectives=(
            _recovery_time(outages, tier),
            _recovery_point(within, tier),
            Measured(
                name="availability",
                target=f"{promised:.2%}",
                measured=f"{available:.4%}" + (f", less what {unended} unended cost" if unended else ""),
                met=None if unended and available >= promised else available >= promised,
            ),
        ),
    )


def forecast(restores: Sequence[tuple[datetime, int, float]], allowed: timedelta) -> Forecast | None:
    """How long restores take, and when they take too long; None where none was measured.

    Args:
        restores: of each restore when it was, its bytes and its seconds, in any order.
        allowed: the longest that a recovery may take.
    """
    told = sorted(each for each in restores if each[1] > 0 and each[2] > 0)
    if not told:
        return None
    rate = min(size / seconds for _, size, seconds in told)
    now, size, _ = told[-1]
    growth = _growth(told)
    return Forecast(
        bytes_per_second=rate,
        bytes_now=size,
        seconds_now=size / rate,
        bytes_a_day=growth,
        late_at=_late(now, rate * allowed.total_seconds() - size, growth),
    )


def _growth(told: Sequence[tuple[datetime, int, float]]) -> float | None:
    """Bytes a day, by least squares."""
    days = [(at - told[0][0]).total_seconds() / 86400 for at, _, _ in told]
    if days[0] == days[-1]:
        return None
    return linear_regression(days, [size for _, size, _ in told]).slope


def _late(now: datetime, room: float, growth: float | None) -> datetime | None:
    if room <= 0:
        return now
    if growth is None or growth <= 0 or room / growth > _FAR.days:
        return None
    return now + timedelta(days=room / growth)


def _recovery_time(outages: Sequence[float], tier: SlaTier) -> Measured:
    worst = max(outages, default=None)
    return Measured(
        name="RTO",
        target=span(tier.rto),
        measured=f"worst {worst:.1f} s" if worst is not None else "",
        met=None if worst is None else worst <= tier.rto.total_seconds(),
    )


def _recovery_point(within: Sequence[Report], tier: SlaTier) -> Measured:
    """Of a loss that is not known nothing is met."""
    losses = [report.rpo.lost_seconds for report in within]
    known = [seconds for seconds in losses if seconds is not None]
    told = [
        *([f"worst {max(known):.1f} s"] if known else []),
        *(["one is unknown"] if None in losses else []),
    ]
    met = None if not losses else None not in losses and max(known) <= tier.rpo.total_seconds()
    return Measured(name="RPO", target=span(tier.rpo), measured=", ".join(told), met=met)
