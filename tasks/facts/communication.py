"""What became of what was told, as frozen facts."""

from datetime import datetime
from typing import Literal

from tasks.clients.channels.message import Stage
from tasks.facts.base import Fact
from tasks.plan.communication import ChannelName


class Delivery(Fact):
    """One stage of an incident, told or not told through one channel.

    Attributes:
        stage: what was told.
        channel: through what.
        outcome: "sending" until the channel's answer is known.
        detail: the channel's receipt or why it failed, and what else is to be known about it.
        at: when.
    """

    stage: Stage
    channel: ChannelName
    outcome: Literal["sending", "sent", "failed"]
    detail: str
    at: datetime
