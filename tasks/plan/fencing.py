"""How a site whose Patroni cluster has a DCS of its own is kept from writing."""

from typing import Annotated

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.values import Duration, Flag, Name, SiteText


class FenceCommand(Block):
    """A program that keeps a site from writing, run where the flow runs; it must be safe to run again.

    With `proves`, it exits 0 only if the site provably takes no writes, such as when the provider's API says
    that all its machines are stopped. Without, it helps (a security group, a route) and proves nothing.
    """

    name: Name
    command: SiteText
    proves: Flag = False
    timeout: Duration


class Fencing(Block):
    """What is done to a site, in this order, when its Patroni does not prove that it stopped writing."""

    commands: Annotated[tuple[FenceCommand, ...], Field(min_length=1)]
