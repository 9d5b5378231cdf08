"""Further services of the same sites, and the order in which business needs them all."""

from typing import Annotated, NamedTuple

from pydantic import Field

from tasks.plan.availability import HttpPath
from tasks.plan.base import Block
from tasks.plan.values import Integer, Name, Port, matching

Priority = Annotated[Integer, Field(ge=1, le=99)]
PathPrefix = Annotated[
    str, matching(r"(/[a-z0-9]([a-z0-9_-]*[a-z0-9])?)+", "lower-case segments such as '/billing'")
]


class Turn(NamedTuple):
    """A service's place in the business order: smaller priorities first, dependencies before all."""

    priority: int
    depends_on: tuple[str, ...]


class FurtherService(Block):
    """A service beside the main one, on the hosts that run "service", at a port of its own.

    Users reach it below `path` of the public endpoint; the site's gateway takes the prefix away. `health` is
    its own path that answers 200 when it serves. It runs at the active site only. Its tier is the main one's
    where it has none.
    """

    tier: Name | None = None
    priority: Priority = 1
    depends_on: tuple[Name, ...] = ()
    port: Port
    path: PathPrefix
    health: HttpPath = "/health"

    @property
    def turn(self) -> Turn:
        """When it is recovered."""
        return Turn(self.priority, self.depends_on)

    @property
    def public_health(self) -> str:
        """The path of its health at a gateway."""
        return f"{self.path}{self.health}"
