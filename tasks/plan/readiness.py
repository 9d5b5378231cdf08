"""When it is asked whether the service could be recovered now, and what may be amiss without being wrong."""

from datetime import timedelta

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.values import Duration


class ReadinessPolicy(Block):
    """How readiness is judged.

    Attributes:
        schedule: when.
        clock_tolerance: how far the hosts' clocks may be apart; at ten times that no time in a report can be
            trusted.
        drill_grace: how much later than its frequency says a drill may be held.
    """

    schedule: Schedule = Schedule.model_validate("every 5 minutes")
    clock_tolerance: Duration = Field(default=timedelta(seconds=1))
    drill_grace: Duration = timedelta(days=7)
