"""What is known and decided between an alarm and a recovery, as frozen facts."""

from datetime import datetime
from typing import Literal

from tasks.facts.base import Fact

Source = Literal["automated_monitoring", "manual_trigger", "external_notification"]
Kind = Literal["hot standby", "cold standby"]


class Alarm(Fact):
    """Somebody or something says that a site is lost.

    Attributes:
        incident: the id of the incident that it may become.
        site: the site that is said to be lost.
        reason: why, in the raiser's words.
        source: the seed's kind of trigger.
        evidence: what was seen, in short.
        detected_at: when it was detected.
        raised_at: when the alarm reached us.
    """

    incident: str
    site: str
    reason: str
    source: Source
    evidence: str
    detected_at: datetime
    raised_at: datetime


class Component(Fact):
    """One part of a site as it answers now.

    Attributes:
        name: the part.
        state: whether it answers well, wrongly, or not at all.
        detail: what it said, or why it said nothing.
    """

    name: str
    state: Literal["well", "wrong", "no answer"]
    detail: str = ""


class Strategy(Fact):
    """One way to recover, and what it costs if it is taken now.

    Attributes:
        kind: the seed's kind of standby.
        site: where the service would run.
        source: for a cold standby, whose backups it is restored from.
        against: why it cannot be taken; empty where it can.
        lost_seconds: the most that is lost, by commit times; None if unknown.
        lost_transactions: the same in transactions; None if unknown.
        expected_seconds: how long such a recovery took before, the median; None if it was never measured.
    """

    kind: Kind
    site: str
    source: str = ""
    against: str = ""
    lost_seconds: float | None = None
    lost_transactions: int | None = None
    expected_seconds: float | None = None


class Impact(Fact):
    """The assessment of an alarm: one page for whoever decides.

    Attributes:
        alarm: the alarm.
        at: when it was made.
        active: the site that takes writes now, by the truth in etcd.
        components: the parts of the site that is said to be lost.
        users_served: whether an order through the public endpoint succeeds.
        strategies: every way to recover, the best first.
        recommended: the one to take; None where none can be.
        why: the reasons.
    """

    alarm: Alarm
    at: datetime
    active: str
    components: tuple[Component, ...]
    users_served: bool
    strategies: tuple[Strategy, ...]
    recommended: Strategy | None
    why: str


class Vote(Fact):
    """One commander's word."""

    commander: str
    decision: Literal["declare", "refuse"]
    comment: str
    at: datetime


class Decision(Fact):
    """What was decided about an alarm.

    Attributes:
        outcome: declared by commanders or by the plan, refused, not answered in time, or overtaken by
            another recovery.
        why: in one sentence.
        votes: who said what.
        at: when.
    """

    outcome: Literal["declared", "automatic", "refused", "expired", "overtaken"]
    why: str
    votes: tuple[Vote, ...]
    at: datetime

    @property
    def recovers(self) -> bool:
        """Whether the recovery begins."""
        return self.outcome in {"declared", "automatic"}
