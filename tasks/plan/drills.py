"""How drills are held: what the seed's "Testing Procedures" leave open."""

from datetime import timedelta
from decimal import Decimal

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.values import Duration, Name, Percentage, Sentence


class DrillPolicy(Block):
    """What drills look at, and what becomes of what they find.

    Attributes:
        owner: who mends what a drill finds; the first commander where empty.
        mend_within: how long that may take.
        sample: which part of a large table's rows is compared with those of a standby; each table's first
            32 MiB are compared in any case.
        exclusions: assets that no drill restores, each with the reason.
        sweep: when leftovers of drills that were killed are removed.
    """

    owner: Name | None = None
    mend_within: Duration = timedelta(days=14)
    sample: Percentage = Decimal("0.1")
    exclusions: dict[str, Sentence] = Field(default_factory=dict)
    sweep: Schedule = Schedule.model_validate("every 15 minutes")
