"""The words that are said outside, in every language and for every time zone. Pure.

Source: the seed's "Communication Templates". What the operators wrote for each other (an incident's reason)
is not said outside; a person's own words are, as they wrote them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tasks.clients.public.words import Words
from tasks.errors import Permanent
from tasks.facts.crisis import Crisis, Notice
from tasks.plan.communication import Template
from tasks.plan.crisis import OWN_LANGUAGE, Filing, Wording
from tasks.plan.plan import Plan

LONGEST = 4000
"""Characters that a person's own words may have."""


def wording(plan: Plan, language: str) -> Wording:
    """The words of a language; English where there are none in it."""
    crisis = plan.crisis
    if language in crisis.translations:
        return crisis.translations[language]
    templates, own = plan.communication_templates, crisis.wording
    return Wording(
        incident_notification=templates.incident_notification,
        resolution_notification=templates.resolution_notification,
        **{name: getattr(own, name) for name in type(own).model_fields},
    )


def words_of(
    plan: Plan, crisis: Crisis, notice: Notice, language: str = OWN_LANGUAGE, zone: str = "UTC"
) -> Words:
    """A notice in one language, its times in one zone and in UTC.

    Raises:
        Permanent: a template asks for a value that there is not.
    """
    said = wording(plan, language)
    values = _values(crisis, notice, said, zone)
    subject, text = _template(notice, said).fill(values)
    return Words(
        key=f"{crisis.incident.id}/{notice.key}",
        incident=crisis.incident.id,
        phase=notice.phase,
        subject=" ".join(subject.split()),
        text=text.strip(),
        language=language if language in plan.crisis.translations else OWN_LANGUAGE,
    )


def form_of(filing: Filing, crisis: Crisis) -> str:
    """A regulator's form, as far as it can be filled in now.

    Raises:
        Permanent: it asks for a value that there is not.
    """
    case = crisis.incident
    values = {
        **_named(crisis),
        "start_time": moment(case.detected_at),
        "impact_description": f"{case.service} is disrupted in {case.failed_site}.",
        "current_status": "The service was moved and runs."
        if crisis.ended
        else "The service is being moved.",
        "root_cause_summary": case.reason or "Not known yet.",
    }
    return Template(subject="form", template=filing.form).fill(values)[1].strip()


def moment(at: datetime, zone: str = "UTC") -> str:
    """A moment in words: in UTC, and before that in the reader's own zone."""
    utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if zone in {"UTC", "Etc/UTC"}:
        return utc
    here = at.astimezone(ZoneInfo(zone))
    return f"{here:%Y-%m-%d %H:%M %Z} ({utc})"


def own_words(text: str) -> str:
    """A person's words as they may be said outside.

    Raises:
        Permanent: they are blank, too long, hold a placeholder, or characters that control what shows them.
    """
    if not text.strip() or len(text) > LONGEST:
        raise Permanent("no words, or too many", f"{len(text)} characters", f"1 to {LONGEST} characters")
    bad = [char for char in text if not (char.isprintable() or char == "\n")]
    if bad:
        raise Permanent("the words hold what is not printed", f"U+{ord(bad[0]):04X}", "plain text")
    if "[" in text or "]" in text:
        raise Permanent("the words hold brackets", hint="write what a [placeholder] would stand for")
    return text.strip()


def _template(notice: Notice, said: Wording) -> Template:
    return {
        "disrupted": said.incident_notification,
        "update": said.update_notification,
        "restored": said.resolution_notification,
    }[notice.phase]


def _values(crisis: Crisis, notice: Notice, said: Wording, zone: str) -> dict[str, str]:
    named = _named(crisis)
    values = {
        **named,
        "start_time": moment(crisis.incident.detected_at, zone),
        "impact_description": _filled(said.impact, named),
        "current_status": notice.words or _filled(said.moving, named),
        "root_cause_summary": _filled(said.cause, named),
    }
    if notice.promised:
        values["next_update_time"] = moment(notice.promised, zone)
    if crisis.ended and notice.phase == "restored":
        values["resolution_time"] = moment(crisis.ended.at, zone)
        done = said.restored if crisis.ended.moved else said.stayed
        values["resolution_summary"] = notice.words or _filled(done, named)
    return values


def _named(crisis: Crisis) -> dict[str, str]:
    case = crisis.incident
    return {
        "service_name": case.service,
        "incident": case.id,
        "failed_site": case.failed_site,
        "recovery_site": case.to_site,
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    return Template(subject="text", template=text).fill(values)[1]
