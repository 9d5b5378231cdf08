"""What is said of a disaster outside, and what people owe, as frozen facts."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from tasks.facts.base import Fact
from tasks.facts.incident import Incident
from tasks.plan.crisis import Phase, PublicChannel

Outcome = Literal["sending", "sent", "failed", "overtaken", "rehearsed"]
DutyKind = Literal["approve", "update", "call", "file", "review"]


class Discharge(Fact):
    """What somebody did about a duty.

    Attributes:
        duty: its key.
        by: who.
        at: when.
        word: whether it was done, or refused; what is refused is not owed any more.
        words: what they said: an update's words, how a call went, what a review found.
        reference: what proves it, such as the number that a regulator gave.
    """

    duty: str
    by: str
    at: datetime
    word: Literal["done", "refused"] = "done"
    words: str = ""
    reference: str = ""


class Ended(Fact):
    """How a disaster ended: the service was moved, or it stayed where it was."""

    at: datetime
    moved: bool


class Notice(Fact):
    """Something that is to be said outside.

    Attributes:
        key: the same whenever it is reckoned anew.
        phase: what has happened.
        at: when it is to be said.
        words: a person's own words; the plan's where empty.
        promised: by when there is more; None where it is over.
    """

    key: str
    phase: Phase
    at: datetime
    words: str = ""
    promised: datetime | None = None


class Telling(Fact):
    """What became of one notice, for one audience, through one channel.

    Attributes:
        notice: its key.
        audience: who was to be told.
        channel: through what.
        outcome: "sending" until the channel's answer is known; "overtaken" where something newer was told
            instead; "rehearsed" where the plan lets nothing leave.
        detail: the channel's receipt or why it failed, and what else is to be known.
        people: how many it reached, of a channel that reaches each by name.
        at: when.
    """

    notice: str
    audience: str
    channel: PublicChannel
    outcome: Outcome
    detail: str = ""
    people: int | None = None
    at: datetime

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.outcome in {"sent", "overtaken", "rehearsed"}


class Batch(Fact):
    """Some of an audience's people and one notice; each person is a digest of the address.

    Attributes:
        recipients: who was to be told with it.
        ended: whether every one of them had an answer; not, where the run died meanwhile.
        left: whom the channel could not tell now.
        refused: whom it will never tell, with the reason.
    """

    recipients: tuple[str, ...]
    ended: bool = False
    left: tuple[str, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)


class Duty(Fact):
    """Something that people owe while a disaster lasts, or after it.

    Attributes:
        key: its name, by which it is discharged.
        kind: what it is.
        who: who may discharge it, and is reminded.
        what: what is to be done.
        since: from when on.
        due: until when.
        done: who has done it, and how; None while it is open.
    """

    key: str
    kind: DutyKind
    who: tuple[str, ...]
    what: str
    since: datetime
    due: datetime
    done: Discharge | None = None


class Alerted(Fact):
    """That somebody was told of a duty: reminded of it, alerted that it is overdue, or that it is settled."""

    duty: str
    stage: Literal["reminder", "overdue", "settled"]
    at: datetime


class Crisis(Fact):
    """All that is on record of what is said and owed about one incident.

    Attributes:
        incident: the incident.
        ended: how it ended; None while it lasts.
        discharges: what people did, oldest first.
        tellings: the furthest that each telling came.
        alerted: which duties people were told of.
    """

    incident: Incident
    ended: Ended | None = None
    discharges: tuple[Discharge, ...] = ()
    tellings: tuple[Telling, ...] = ()
    alerted: tuple[Alerted, ...] = ()

    def telling(self, notice: str, audience: str, channel: PublicChannel) -> Telling | None:
        """What became of one telling; None where nobody has tried it."""
        key = (notice, audience, channel)
        return next((t for t in self.tellings if (t.notice, t.audience, t.channel) == key), None)

    def discharged(self, duty: str) -> Discharge | None:
        """Who has discharged a duty, first."""
        return next((each for each in self.discharges if each.duty == duty), None)
