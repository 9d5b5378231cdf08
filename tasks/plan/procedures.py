"""What people and flows do: the seed's disaster_recovery, continuity_strategies and dr_testing."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.plan.base import Block, Phrase
from tasks.plan.schedule import Schedule
from tasks.plan.values import Duration, Integer, Key, Limit, Name, Sentence, refusal


class RunbookStep(Phrase):
    """One line of a runbook, written as a mapping of its name to what it does."""

    name: Key
    description: Sentence

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read `- scope_evaluation: "Determine affected systems"`."""
        if not isinstance(value, dict) or len(value) != 1:
            raise refusal("not one step", "a mapping of one step's name to its description")
        [(name, description)] = value.items()
        if not isinstance(name, str) or not isinstance(description, str):
            raise refusal("not a step", "a name and a description, both texts")
        return {"name": name, "description": description}

    def written(self) -> dict[str, str]:
        """The seed's one-key mapping."""
        return {self.name: self.description}


Steps = Annotated[tuple[RunbookStep, ...], Field(min_length=1)]


class DisasterRecovery(Block):
    """Seed, "Recovery Procedures": the steps of each phase, in order."""

    detection: Steps
    assessment: Steps
    execution: Steps
    communication: Steps


class ContinuityStrategies(Block):
    """Seed, "Continuity Strategies"."""

    prevention: Steps
    mitigation: Steps
    recovery: Steps


class Drill(Block):
    """A rehearsal."""

    frequency: Schedule
    scope: Sentence
    validation: Sentence


class RestorationDrill(Drill):
    """A rehearsal of restoring backups."""

    rollback: Literal["automatic rollback after testing", "manual rollback after testing"]

    @property
    def rolls_back(self) -> bool:
        """Whether the drill itself removes what it restored."""
        return self.rollback.startswith("automatic")


class FailoverDrill(Drill):
    """A rehearsal of failing over, which must end in time."""

    duration: Limit


class Exercise(Drill):
    """A rehearsal that people outside engineering take part in."""

    stakeholders: Sentence


class DrTesting(Block):
    """Seed, "Testing Procedures".

    `full_failover` is the semi-annual test of the seed's "DR Testing Schedule", which its YAML lacks.
    """

    backup_restoration: RestorationDrill
    failover_testing: FailoverDrill
    full_failover: FailoverDrill | None = None
    full_dr_exercise: Exercise

    def drills(self) -> dict[str, Drill]:
        """The drills by name, the most frequent first."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: drill for name, drill in named.items() if drill is not None}


class Declaration(Block):
    """Who declares a disaster: seed, "Disaster Declaration Process".

    Attributes:
        commanders: the people who may, by name.
        approvals: how many of them each tier asks for; one where a tier is not named.
        deadline: how long they have.
    """

    commanders: Annotated[tuple[Name, ...], Field(min_length=1)]
    approvals: Annotated[dict[Name, Annotated[Integer, Field(ge=1, le=9)]], Field(default_factory=dict)]
    deadline: Duration

    def needed(self, tier: str) -> int:
        """How many commanders a tier asks for."""
        return self.approvals.get(tier, 1)
