"""What was seen of a site while a part of the users went to it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Watched:
    """The tries of one step of a move.

    Attributes:
        tries: how often the site was asked.
        failures: how often it did not serve.
        seconds: for how long the step has been watched.
    """

    tries: int = 0
    failures: int = 0
    seconds: float = 0.0
