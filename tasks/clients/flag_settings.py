"""What is kept of a feature flag in Redis: one JSON value a flag, in the hash `flags`.

The service reads it and the recovery writes it; whatever is not kept has the plan's default.
"""

from datetime import datetime

from pydantic import AwareDatetime, ValidationError

from tasks.plan.base import Block
from tasks.plan.values import Flag, Sentence

KEY = "flags"


class FlagSetting(Block):
    """A flag that somebody has set.

    Attributes:
        on: what it is set to.
        by: who set it.
        why: why, in their words.
        at: when.
        until: when it has its default again by itself; never where None.
        incident: the incident whose recovery set it; empty where a person did.
    """

    on: Flag
    by: Sentence
    why: Sentence
    at: AwareDatetime
    until: AwareDatetime | None = None
    incident: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether it counts still."""
        return self.until is None or now < self.until


def parsed(text: str | bytes) -> FlagSetting | None:
    """The setting that a value holds; None where it is none, which leaves the flag at its default."""
    try:
        return FlagSetting.model_validate_json(text)
    except ValidationError:
        return None
