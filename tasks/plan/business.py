"""Seed, "Business Impact Analysis": critical processes, dependencies, priorities, resources."""

from typing import Annotated

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.services import Priority, Turn
from tasks.plan.values import Duration, Flag, Name, Sentence


class Process(Block):
    """A business process, and what its loss means.

    Attributes:
        description: what people do in it.
        owner: who answers for it.
        critical: whether the business cannot do without it.
        priority: recovered before those of larger ones.
        services: the services that it needs.
        depends_on: other processes that it needs.
        tolerable_outage: how long the business endures without it (ISO 22301: maximum tolerable period of
            disruption).
        tolerable_loss: how much of its newest data the business endures losing.
        impact: what an outage costs.
        resources: people, places and things that its recovery needs.
        workaround: how people do without it meanwhile.
    """

    description: Sentence
    owner: Sentence
    critical: Flag = False
    priority: Priority = 1
    services: Annotated[tuple[Name, ...], Field(min_length=1)]
    depends_on: tuple[Name, ...] = ()
    tolerable_outage: Duration
    tolerable_loss: Duration
    impact: Sentence
    resources: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    workaround: Sentence | None = None

    @property
    def turn(self) -> Turn:
        """Its place in the business order."""
        return Turn(self.priority, self.depends_on)


BusinessImpact = dict[Name, Process]
