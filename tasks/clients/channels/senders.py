"""Every channel by its name, and what sends a message through it."""

from collections.abc import Callable, Mapping

from tasks.clients.channels import mail, pagerduty, slack
from tasks.clients.channels.message import Message
from tasks.plan.communication import ChannelName
from tasks.plan.plan import Plan

Send = Callable[[Plan, Message], str]

SENDERS: Mapping[ChannelName, Send] = {
    "pagerduty": pagerduty.send,
    "slack": slack.send,
    "email": mail.send,
}
"""Each returns a receipt, and raises Busy, Transient or Permanent."""
