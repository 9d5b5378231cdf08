"""What a recovery did to keep the business going, as frozen facts."""

from pydantic import Field

from tasks.clients.flag_settings import FlagSetting
from tasks.facts.base import Fact


class Change(Fact):
    """What becomes of one flag.

    Attributes:
        flag: its name.
        words: what is done with it and why, or why it is left as it is.
        setting: what is written; its default is given back where None.
        left: whether nothing is written.
    """

    flag: str
    words: str
    setting: FlagSetting | None = None
    left: bool = False


class Switched(Fact):
    """The flags at one moment of a recovery.

    Attributes:
        site: whose Redis was written to.
        flags: what was done with each.
        not_done: why nothing could be; that is no reason to end a recovery.
    """

    site: str
    flags: dict[str, str] = Field(default_factory=dict)
    not_done: str = ""


class Told(Fact):
    """The owners of business processes that were told.

    Attributes:
        owners: what became of each owner's mail.
    """

    owners: dict[str, str] = Field(default_factory=dict)
