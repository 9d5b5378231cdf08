"""A drill and what it found, as frozen facts. Source: DORA RTS Art. 25, SOC 2 A1.3, ISO 22301 8.5."""

from datetime import datetime, timedelta
from typing import Literal

from tasks.facts.base import Fact

Kind = Literal["backup_restoration"]
Outcome = Literal["passed", "failed", "unknown"]
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
        copies: every asset and the site whose copy of it is tried.
        excluded: what is not, each with the reason.
        assumptions: what is taken for granted.
        criteria: what must hold.
        participants: who takes part, by role.
        rto_s: what the tier promises, in seconds.
        rpo_s: the same, of loss.
    """

    id: str
    kind: Kind
    reason: str
    began: datetime
    environment: str
    plan_digest: str
    scenario: str
    copies: tuple[tuple[str, str], ...]
    excluded: dict[str, str]
    assumptions: tuple[str, ...]
    criteria: tuple[str, ...]
    participants: dict[str, str]
    rto_s: float
    rpo_s: float


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


class Trial(Fact):
    """One point of one site's copy, restored apart from everything that runs, and looked at.

    Attributes:
        asset: such as "database", "files/uploads".
        site: whose copy.
        variant: the newest point, or one chosen by chance.
        point: the backup, snapshot or moment; empty where none was found.
        acts: what was done, in order.
        restore_s: of the acts, the seconds until the data was back.
        lost_s: how much older than the drill what came back is: seconds; None where not known.
    """

    asset: str
    site: str
    variant: Variant
    point: str
    acts: tuple[Act, ...]
    restore_s: float = 0.0
    lost_s: float | None = None

    @property
    def name(self) -> str:
        """Which trial of a drill."""
        return f"{self.asset} from {self.site}, {self.variant}"

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
    severity: Literal["critical", "major"]
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
        trials: every restore.
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
