"""How drills are held: what the seed's "Testing Procedures" leave open."""

from datetime import timedelta
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.values import Command, Day, Duration, HttpUrl, Name, Percentage, Sentence, refusal
from tasks.plan.window import Window


class Blackout(Block):
    """Days, the last one included and all in UTC, on which no drill is held, and why."""

    since: Day
    until: Day
    reason: Sentence

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until < self.since:
            raise refusal("it ends before it begins", "`until` on the day of `since` or later")
        return self


class Apart(Block):
    """How the service is started where no network leads to, for the quarterly drill.

    Attributes:
        start: run on a database host as the account that owns the database, and does not end by itself;
            PostgreSQL is at 127.0.0.1, port DR_DRILL_PORT; what it writes belongs into DR_DRILL_FOLDER.
        url: where the service then answers, inside.
    """

    start: Command
    url: HttpUrl = "http://127.0.0.1:8000"


class ExercisePolicy(Block):
    """The annual exercise.

    Attributes:
        injects: what else goes wrong, each a sentence that people are asked about.
        answer_within: how long people have for an answer.
        notice_within: how long the law gives for the first notice of a major incident (DORA: 4 hours after
            it was classified as one).
    """

    injects: tuple[Sentence, ...] = ()
    answer_within: Duration = timedelta(hours=1)
    notice_within: Duration = timedelta(hours=4)


class DrillPolicy(Block):
    """What drills look at, and what becomes of what they find.

    Attributes:
        owner: who mends what a drill finds; the first commander where empty.
        mend_within: how long that may take.
        sample: which part of a large table's rows is compared with those of a standby; each table's first
            32 MiB are compared in any case.
        exclusions: assets that no drill restores, each with the reason.
        sweep: when leftovers of drills that were killed are removed.
        window: when the service may be moved for a drill; at any time where empty.
        stay: how long it stays at the other site then.
        blackouts: when no drill is held at all.
        apart: how the service is started apart; the quarterly drill needs it.
        exercise: what the annual exercise asks, and how soon.
    """

    owner: Name | None = None
    mend_within: Duration = timedelta(days=14)
    sample: Percentage = Decimal("0.1")
    exclusions: dict[str, Sentence] = Field(default_factory=dict)
    sweep: Schedule = Schedule.model_validate("every 15 minutes")
    window: Window | None = None
    stay: Duration = timedelta(minutes=15)
    blackouts: tuple[Blackout, ...] = ()
    apart: Apart | None = None
    exercise: ExercisePolicy = Field(default_factory=ExercisePolicy)
