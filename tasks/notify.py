"""Tell people about an incident: every stage once a channel, at least once altogether, never in the way.

A record in the journal goes before each message and another after it. A run that is started again sends
nothing of which it finds the second. Of what it finds the first alone, nobody knows whether it arrived: it
is sent again, since silence would be worse, and the delivery says so. PagerDuty is told under the incident's
key, so that there twice is once. Without an answer from the stores people are told all the same.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import journal
from tasks.clients.channels.failures import Busy
from tasks.clients.channels.message import Message, Stage
from tasks.clients.channels.senders import SENDERS, Send
from tasks.clients.parallel import ask_all
from tasks.errors import DrError, Transient
from tasks.facts.communication import Delivery
from tasks.facts.incident import Incident
from tasks.plan.communication import ChannelName
from tasks.plan.plan import Plan
from tasks.policy.communication import carriers, compose, furthest, repeated, stand_ins

T = TypeVar("T")

# Channels are told at the same time; there are at most three rounds, of a channel and of its stand-ins.
# Nothing is begun again after _RETRY_S; what was begun has until _ROUND_S, which a starved machine needs.
_ROUND_S = 4.0
_RETRY_S = 2.0
_STORES_S = 0.5
_PAUSE_S = 0.2


@task(name="notify", task_run_name="notify {stage}", cache_policy=NO_CACHE)
def notify(
    plan: Plan, incident: Incident, stage: Stage, at: datetime | None = None, note: str = ""
) -> tuple[Delivery, ...]:
    """Tell everybody whom the plan names about a stage of an incident, in 12 seconds at most; submit it.

    Args:
        plan: the plan.
        incident: the incident.
        stage: what happened.
        at: when; now where None.
        note: what else is to be said, in whole sentences; it reaches third parties.

    Returns:
        What became of each channel that was tried. One that failed is among them, and fails nothing.

    Raises:
        Permanent: the plan's template asks for a value that there is not; nobody was told anything.
    """
    now = at or datetime.now(UTC)
    message = compose(plan, incident, stage, now, note)
    deliveries: dict[ChannelName, Delivery] = {}
    wanted = carriers(plan.alerting, stage)
    while wanted:
        deliveries |= _tell(plan, incident, message, wanted)
        told = {channel: delivery.outcome == "sent" for channel, delivery in deliveries.items()}
        wanted = stand_ins(plan.alerting.order, told)
    return tuple(deliveries.values())


@contextmanager
def telling_failure(plan: Plan, incident: Incident) -> Iterator[None]:
    """Tell people of a recovery that failed, then let it fail."""
    try:
        yield
    except DrError as error:
        notify(plan, incident, "failed", note=f"{error.message}.")
        raise


def _tell(
    plan: Plan, incident: Incident, message: Message, channels: tuple[ChannelName, ...]
) -> dict[ChannelName, Delivery]:
    """Tell several channels at once; who does not answer in time has failed."""
    jobs = {channel: partial(_deliver, plan, incident, message, channel) for channel in channels}
    return {
        channel: _delivery(message, channel, "failed", str(answer)) if isinstance(answer, DrError) else answer
        for channel, answer in ask_all(jobs, _ROUND_S).items()
    }


def _deliver(plan: Plan, incident: Incident, message: Message, channel: ChannelName) -> Delivery:
    """Tell one channel, unless an earlier run did."""
    deadline = time.monotonic() + _RETRY_S
    before = _in_time(partial(_before, plan, incident, message.stage, channel))
    if isinstance(before, Delivery) and before.outcome == "sent":
        return before
    notes = [_doubt(incident, channel, before)]
    notes.append(_record(plan, incident, _delivery(message, channel, "sending", "")))
    try:
        receipt = _patiently(SENDERS[channel], plan, message, deadline)
    except DrError as error:
        delivery = _delivery(message, channel, "failed", str(error), *notes)
    else:
        delivery = _delivery(message, channel, "sent", receipt, *notes)
    unrecorded = _record(plan, incident, delivery)
    return delivery.model_copy(update={"detail": _joined(delivery.detail, unrecorded)})


def _patiently(send: Send, plan: Plan, message: Message, deadline: float) -> str:
    """Try again what may pass, as long as the channel wants and the deadline allows."""
    pause = _PAUSE_S
    while True:
        try:
            return send(plan, message)
        except Transient as error:
            wait = error.seconds if isinstance(error, Busy) else pause
            if time.monotonic() + wait >= deadline:
                raise
        time.sleep(wait)
        pause *= 2


def _before(plan: Plan, incident: Incident, stage: str, channel: ChannelName) -> Delivery | None:
    """The furthest that an earlier run came."""
    names = (_name(stage, channel, outcome) for outcome in ("sent", "failed", "sending"))
    texts = (journal.read(plan, incident.id, name, incident.failed_site) for name in names)
    found = furthest(Delivery.model_validate_json(text) for text in texts if text)
    return found[0] if found else None


def _doubt(incident: Incident, channel: ChannelName, before: Delivery | DrError | None) -> str:
    if isinstance(before, DrError):
        return "may have been told before: no store tells" if incident.resumed else ""
    return repeated(channel, before)


def _record(plan: Plan, incident: Incident, delivery: Delivery) -> str:
    """Write a record; where no store takes it in time, what that means."""
    name = _name(delivery.stage, delivery.channel, delivery.outcome)
    text = delivery.model_dump_json()
    write = partial(journal.write, plan, incident.failed_site, incident.id, name, text)
    if isinstance(_in_time(write), DrError):
        return f"{delivery.outcome} is not on record: a run that is started again tells it again"
    return ""


def _name(stage: str, channel: ChannelName, outcome: str) -> str:
    # A name of its own for each outcome: a store that missed one does not hide it from the others.
    return f"notifications/{stage}/{channel}-{outcome}.json"


def _in_time(ask: Callable[[], T]) -> T | DrError:
    """What the stores say, as long as it takes them no longer than people can wait."""
    return ask_all({"stores": ask}, _STORES_S)["stores"]


def _delivery(message: Message, channel: ChannelName, outcome: str, *details: str) -> Delivery:
    return Delivery.model_validate(
        {
            "stage": message.stage,
            "channel": channel,
            "outcome": outcome,
            "detail": _joined(*details),
            "at": datetime.now(UTC),
        }
    )


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
