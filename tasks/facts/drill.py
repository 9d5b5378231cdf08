"""A drill and what it found, as frozen facts. Source: DORA RTS Art. 25, SOC 2 A1.3, ISO 22301 8.5."""

from datetime import datetime, timedelta
from typing import Literal

from tasks.facts.base import Fact

Kind = Literal["backup_restoration", "failover_testing", "full_failover", "full_dr_exercise"]
Outcome = Literal["passed", "failed", "unknown"]
Severity = Literal["critical", "major"]
Variant = Literal["newest", "random"]


class Drill(Fact):
    """What was decided before a drill began, and cannot be changed afterwards.

    Attributes:
        id: names everything that the drill makes.
        kind: the plan's name of it.
        reason: who or what started it, and why.
        began: when.
        environment: the service and where it was restored to.
        plan_digest: the SHA-256 of the plan.
        scenario: what is rehearsed, and why it is severe but plausible.
        scope: what is tried, in words.
        copies: of a restore drill, every asset and the site whose copy of it is tried.
        excluded: what is not, each with the reason.
        assumptions: what is taken for granted.
        criteria: what must hold.
        participants: who takes part, by role.
        rto_s: what the tier promises, in seconds.
        rpo_s: the same, of loss.
        ends: when it must be over.
    """

    id: str
    kind: Kind
    reason: str
    began: datetime
    environment: str
    plan_digest: str
    scenario: str
    scope: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    excluded: dict[str, str]
    assumptions: tuple[str, ...]
    criteria: tuple[str, ...]
    participants: dict[str, str]
    rto_s: float
    rpo_s: float
    ends: datetime | None = None


class Consent(Fact):
    """A commander's word that a drill may move production.

    Attributes:
        commander: who gave it.
        risk: what spoke against it, and why it may be so; empty where nothing did.
    """

    commander: str
    risk: str = ""


class Act(Fact):
    """One thing that was done, and how it ended.

    Attributes:
        name: what.
        started: when.
        ended: when it was over.
        outcome: passed; failed: it was seen to be wrong; unknown: it could not be told.
        detail: what was seen.
    """

    name: str
    started: datetime
    ended: datetime
    outcome: Outcome
    detail: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.started).total_seconds()


class Question(Fact):
    """What people are asked in a drill.

    Attributes:
        drill: the drill's id.
        key: the question's, in the drill.
        text: the question.
        people: who is asked.
        asked: when.
    """

    drill: str
    key: str
    text: str
    people: tuple[str, ...]
    asked: datetime


class Answer(Fact):
    """What one of them said.

    Attributes:
        drill: the drill's id.
        key: the question's.
        person: who.
        answer: yes or no.
        comment: why.
        at: when.
    """

    drill: str
    key: str
    person: str
    answer: Literal["yes", "no"]
    comment: str
    at: datetime


class Trial(Fact):
    """One thing that a drill tries, by itself: a restore, a move of the service, a workflow.

    Attributes:
        name: which; the same from drill to drill.
        severity: how bad it is where it does not pass.
        point: what it was about: a backup, a moment, an incident; empty where none was found.
        acts: what was done, in order.
        took_s: of the acts, the seconds that the RTO is about.
        lost_s: the seconds of data that are missing; None where not known.
        of_rpo: whether the RPO is about them: files, say, have a schedule instead.
    """

    name: str
    severity: Severity
    point: str
    acts: tuple[Act, ...]
    took_s: float = 0.0
    lost_s: float | None = None
    of_rpo: bool = False

    @property
    def wrong(self) -> Act | None:
        """The first act that did not pass."""
        return next((act for act in self.acts if act.outcome != "passed"), None)

    @property
    def outcome(self) -> Outcome:
        """Passed where all its acts did; unknown where nothing was done."""
        if self.wrong is not None:
            return self.wrong.outcome
        return "passed" if self.acts else "unknown"


class Impact(Fact):
    """Production as it was seen at one moment of a drill.

    Attributes:
        at: when.
        active: the active site.
        lsn: how far its primary had written.
        timeline: of the primary.
        followers: every other node, and how it follows.
    """

    at: datetime
    active: str
    lsn: str
    timeline: int
    followers: dict[str, str]


class Finding(Fact):
    """A deficiency.

    Attributes:
        trial: where it was found.
        what: what was seen.
        severity: how bad it is.
        owner: who mends it.
        due: until when.
        found_in: the drill that found it first.
        status: open; or what a later drill saw of it.
    """

    trial: str
    what: str
    severity: Severity
    owner: str
    due: datetime
    found_in: str
    status: Literal["open", "still there", "passed its retest"]


class DrillReport(Fact):
    """The evidence of a drill.

    Attributes:
        drill: what was decided beforehand.
        ended: when everything was removed again.
        verdict: passed only where every trial did and nothing was left behind.
        trials: what it tried.
        acts: what was done beside them.
        before: production before it.
        after: production after it.
        impact: what speaks for a harm to production; empty where nothing does.
        left: what could not be removed.
        findings: this drill's deficiencies, and those of earlier ones with their status.
        recommendations: derived from what was measured.
        told: the channels that were told, and what became of it.
    """

    drill: Drill
    ended: datetime
    verdict: Outcome
    trials: tuple[Trial, ...]
    acts: tuple[Act, ...]
    before: Impact | None
    after: Impact | None
    impact: tuple[str, ...]
    left: tuple[str, ...]
    findings: tuple[Finding, ...]
    recommendations: tuple[str, ...]
    told: tuple[str, ...] = ()

    @property
    def duration(self) -> timedelta:
        """From its begin to its end."""
        return self.ended - self.drill.began
