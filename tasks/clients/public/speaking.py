"""Every public channel by its name, and what says something through it."""

from collections.abc import Callable, Mapping
from functools import partial

from tasks.clients.parallel import answered, ask_all
from tasks.clients.public import linkedin, mail, sms, statuspage, x
from tasks.clients.public.words import Words
from tasks.errors import Permanent
from tasks.plan.crisis import PersonalChannel, PublicChannel
from tasks.plan.plan import Plan

ALL_S = 8.0
"""Seconds for one message altogether, whatever a channel does."""
_POSTS: Mapping[str, Callable[..., str]] = {
    "statuspage": statuspage.publish,
    "x": x.publish,
    "linkedin": linkedin.publish,
}
_SENDERS: Mapping[PersonalChannel, Callable[..., str]] = {"email": mail.send, "sms": sms.send}


def post(plan: Plan, channel: PublicChannel, words: Words) -> str:
    """Say something where everybody can read it.

    Returns:
        the channel's receipt.

    Raises:
        Busy: it asks for time.
        Transient: it does not answer, or fails.
        Permanent: it refuses.
    """
    return _in_time(partial(_POSTS[channel], plan, _settings(plan, channel), words))


def send(plan: Plan, channel: PersonalChannel, words: Words, address: str) -> str:
    """Say something to one person.

    Returns:
        the channel's receipt.

    Raises:
        Busy: it asks for time.
        Transient: it does not answer, or fails.
        Undeliverable: the address is none.
        Permanent: it refuses.
    """
    return _in_time(partial(_SENDERS[channel], plan, _settings(plan, channel), words, address))


def _in_time(say: Callable[[], str]) -> str:
    """A server that answers a byte at a time keeps within every other limit."""
    return answered(ask_all({"said": say}, ALL_S)["said"])


def _settings(plan: Plan, channel: PublicChannel) -> object:
    settings = getattr(plan.crisis.channels, channel)
    if settings is None:
        raise Permanent(f"the plan has no crisis_communication.channels.{channel}")
    return settings
