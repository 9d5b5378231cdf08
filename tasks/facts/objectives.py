"""What a service achieved against its tier, as frozen facts."""

from datetime import datetime

from tasks.facts.base import Fact


class Measured(Fact):
    """One objective: what was promised, and what was measured.

    Attributes:
        name: the objective.
        target: what the tier promises, in words; empty where it promises nothing.
        measured: the worst or the mean that was measured, in words; empty where there was nothing to measure.
        met: whether it holds; None where it cannot be told, or nothing was promised.
    """

    name: str
    target: str
    measured: str
    met: bool | None


class Achieved(Fact):
    """A service over a window of time.

    Attributes:
        service: which.
        tier: its tier.
        since: the window's begin.
        until: its end.
        failures: how often its site was lost.
        moves: how often it was moved by plan.
        downtime_seconds: for how long users were not served.
        availability: the part of the window in which they were, from 0 to 1.
        budget_left_seconds: for how much longer they may do without it; negative where overdrawn.
        mttr_seconds: mean time to recovery; None without a failure.
        mtbf_seconds: mean time between failures; None without a failure.
        objectives: each of the tier's promises.
    """

    service: str
    tier: str
    since: datetime
    until: datetime
    failures: int
    moves: int
    downtime_seconds: float
    availability: float
    budget_left_seconds: float
    mttr_seconds: float | None
    mtbf_seconds: float | None
    objectives: tuple[Measured, ...]


class Forecast(Fact):
    """How long a restore takes as the data grows.

    Attributes:
        bytes_per_second: how fast data were restored, by the slowest restore that was measured.
        bytes_now: the size of the data at the newest measurement.
        seconds_now: how long that would take.
        bytes_a_day: how fast the data grow; None with fewer than two measurements.
        late_at: when a restore would take longer than allowed, at this growth; None where never.
    """

    bytes_per_second: float
    bytes_now: int
    seconds_now: float
    bytes_a_day: float | None
    late_at: datetime | None
