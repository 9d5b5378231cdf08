"""Say outside what is due about a disaster, and remind people of what they owe.

Source: the seed's "Crisis Communication". What is due is reckoned anew from the journal each time, so that a
run that dies is simply run again. A record goes before each telling and another after it; who finds the
first alone waits until whoever wrote it must have ended, and then tells again: our own status page,
Statuspage, X and LinkedIn know what they were told and take nothing twice, and mail carries the same
Message-ID.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from prefect.artifacts import create_markdown_artifact

from tasks.clients.channels.message import Message
from tasks.clients.channels.senders import SENDERS
from tasks.clients.parallel import ask_all
from tasks.clients.public.speaking import post
from tasks.crisis_record import (
    crisis_if_any,
    read_crisis,
    recent_incidents,
    record_telling,
    require_duty,
    write_alerted,
    write_discharge,
)
from tasks.errors import DrError, Permanent, Refused
from tasks.evidence import read_steps
from tasks.facts.crisis import Alerted, Crisis, Discharge, Duty, Notice, Telling
from tasks.facts.status import PublicNotice, Published
from tasks.plan.communication import ChannelName
from tasks.plan.crisis import OWN_LANGUAGE, PERSONAL, PublicChannel
from tasks.plan.plan import Plan
from tasks.policy.communication import carriers, stand_ins
from tasks.policy.crisis_page import crisis_pages, duty_message
from tasks.policy.crisis_words import own_words, words_of
from tasks.retry import retried
from tasks.speaker import Silenced, Speaker
from tasks.status_page import publish
from tasks.tell_people import tell_people

_CHANNELS_S = 6.0


@retried("see which disasters there are", times=5, delay=0.5)
def see_incidents(plan: Plan, incident: str | None) -> list[str]:
    """The given incident, or all that were declared lately.

    Raises:
        Transient: no store answers.
    """
    return [incident] if incident else recent_incidents(plan, datetime.now(UTC))


@retried("see what was said", run_name="see what was said: {incident}", times=5, delay=0.5)
def see_crisis(plan: Plan, incident: str) -> Crisis | None:
    """All that is on record of what was said about one incident; None of a planned move.

    Raises:
        Transient: no store answers.
    """
    return crisis_if_any(plan, incident)


@retried("pass over what is old", times=5, delay=0.5)
def pass_over(plan: Plan, crisis: Crisis, notice: Notice, audience: str, channel: PublicChannel) -> Telling:
    """Put on record that something newer is told instead.

    Raises:
        Transient: no store takes it.
    """
    place = notice.key, audience, channel
    return record_telling(plan, crisis.incident, place, "overtaken", "there was something newer to say")


@retried("tell people outside", run_name="tell {audience} by {channel}: {notice.key}", times=3, delay=1)
def tell(  # noqa: PLR0913 -- who tells what to whom
    plan: Plan, crisis: Crisis, notice: Notice, audience: str, channel: PublicChannel, speaker: Speaker
) -> Telling:
    """Tell one notice to one audience through one channel.

    Returns:
        what became of it; a channel that failed is on record, and is asked again by a later run.

    Raises:
        Permanent: the words lack a value; nobody was told anything.
        Silenced: another process may speak by now; what is not on record is told by a later run.
        Transient: no store takes the records.
    """
    speaker.require()
    words_of(plan, crisis, notice)
    recorded = partial(record_telling, plan, crisis.incident, (notice.key, audience, channel))
    if plan.crisis.rehearse:
        return recorded("rehearsed", "the plan lets nothing leave")
    recorded("sending", "")
    try:
        if channel in PERSONAL:
            return tell_people(plan, crisis, notice, audience, channel, speaker)
        receipt = _say(plan, crisis, notice, channel)
    except Silenced:
        raise
    except DrError as error:
        return recorded("failed", str(error))
    return recorded("sent", receipt)


@retried("publish the status page", times=2, delay=2)
def keep_page(plan: Plan) -> str:
    """Publish our own status page as of now, with nothing new; a site that has none yet gets it.

    Raises:
        Transient: no store takes it.
    """
    if plan.crisis.status_page is None:
        return "the plan has none"
    return _where(publish(plan, plan.crisis.status_page, None, None))


@retried("tell people what they owe", run_name="{told.stage}: {duty.key}", times=5, delay=0.5)
def tell_duty(plan: Plan, crisis: Crisis, duty: Duty, told: Alerted) -> str:
    """Tell the plan's own channels of a duty, each once at most.

    Raises:
        Permanent: no channel took it.
        Transient: no store takes the record.
    """
    message = duty_message(plan, crisis, duty, told)
    answers: dict[ChannelName, str | DrError] = {}
    wanted = carriers(plan.alerting, message.stage)
    while wanted:
        answers |= ask_all({name: partial(SENDERS[name], plan, message) for name in wanted}, _CHANNELS_S)
        taken = {name: isinstance(answer, str) for name, answer in answers.items()}
        wanted = stand_ins(plan.alerting.order, taken)
    _require_taken(message, answers)
    write_alerted(plan, crisis.incident, told)
    return ", ".join(name for name, answer in answers.items() if isinstance(answer, str))


@retried("discharge a duty", run_name="{said.duty}: {said.by}", times=2, delay=1)
def discharge(plan: Plan, incident: str, said: Discharge) -> str:
    """Put on record what somebody did; it cannot be taken back.

    Raises:
        Refused: it is not owed, or not by them.
        Permanent: what they wrote may not be said outside.
        Transient: no store answers.
    """
    crisis = read_crisis(plan, incident)
    require_duty(plan, crisis, said)
    if said.words:
        said = said.model_copy(update={"words": own_words(said.words)})
    elif said.duty in {"update", "review"} and said.word == "done":
        raise Refused(f"{said.duty} has no words", hint="say what is so, or what the review found")
    write_discharge(plan, crisis.incident, said)
    return f"{said.duty}: {said.word} by {said.by}"


@retried("show what is owed", times=1, delay=1)
def show_crisis(plan: Plan, crisis: Crisis) -> list[str]:
    """Keep an incident's pages in the UI: what was said and is owed, words to approve, forms, the review.

    Raises:
        Transient: no store answers.
    """
    steps = read_steps(plan, crisis.incident) if crisis.ended else []
    pages = crisis_pages(plan, crisis, datetime.now(UTC), steps)
    for name, markdown in pages.items():
        key = f"{name}-{crisis.incident.id}".lower()
        create_markdown_artifact(key=key, markdown=markdown, description=f"{crisis.incident.id}: {name}")
    return list(pages)


def _say(plan: Plan, crisis: Crisis, notice: Notice, channel: PublicChannel) -> str:
    if channel != "status_page":
        return post(plan, channel, words_of(plan, crisis, notice))
    if plan.crisis.status_page is None:
        raise Permanent("the plan has no crisis_communication.status_page")
    notice_there = _public(plan, crisis, notice)
    published = publish(plan, plan.crisis.status_page, notice_there, crisis.incident.failed_site)
    return _where(published)


def _where(published: Published) -> str:
    without = "".join(f"; not in {site}: {why}" for site, why in published.missed.items())
    return f"in {', '.join(published.taken)}{without}"


def _public(plan: Plan, crisis: Crisis, notice: Notice) -> PublicNotice:
    said = {
        language: words_of(plan, crisis, notice, language)
        for language in (OWN_LANGUAGE, *plan.crisis.translations)
    }
    return PublicNotice(
        key=f"{crisis.incident.id}/{notice.key}",
        incident=crisis.incident.id,
        phase=notice.phase,
        at=notice.at,
        subject={language: words.subject for language, words in said.items()},
        text={language: words.text for language, words in said.items()},
        next_update=notice.promised,
    )


def _require_taken(message: Message, answers: Mapping[ChannelName, str | DrError]) -> None:
    if not any(isinstance(answer, str) for answer in answers.values()):
        told = "; ".join(f"{name}: {answer}" for name, answer in answers.items())
        raise Permanent(f"nobody was told: {message.subject}", told, "see `notifications`")
