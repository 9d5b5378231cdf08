"""What became of the services of a site, in business order."""

from datetime import datetime

from pydantic import Field

from tasks.facts.base import Fact


class Activation(Fact):
    """A service that is recovered.

    Attributes:
        service: its name.
        wave: the wave it was in, from 1.
        at: when it was seen to serve.
        hosts: where it was started, or ran already; none for the main service, which is in the steps.
        absent: the hosts where it could not be started, and why; others of the site serve it.
    """

    service: str
    wave: int
    at: datetime
    hosts: tuple[str, ...] = ()
    absent: dict[str, str] = Field(default_factory=dict)


class StoodDown(Fact):
    """A service that runs nowhere at a site.

    Attributes:
        service: its name.
        hosts: where it was stopped, or did not run.
        at: when nothing of it was seen any more.
    """

    service: str
    hosts: tuple[str, ...]
    at: datetime
