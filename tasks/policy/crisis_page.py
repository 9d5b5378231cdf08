"""What was said and is owed about a disaster, as pages of the UI and as messages to those who owe. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from tasks.clients.channels.message import Message
from tasks.facts.crisis import Alerted, Crisis, Duty, Telling
from tasks.facts.incident import StepRecord
from tasks.plan.communication import Severity
from tasks.plan.plan import Plan
from tasks.policy.crisis import approval_of, waiting
from tasks.policy.crisis_words import form_of, moment, words_of
from tasks.policy.duties import duties, open_duties
from tasks.policy.tables import table

_HOW = (
    "Discharge a duty by a run of `discharge-duty` (here or by REST), or with "
    "`dr incident discharge {incident} DUTY --by NAME`; `--refuse` where it is not to be done."
)
_SEVERITIES: dict[str, Severity] = {"reminder": "info", "overdue": "critical", "settled": "info"}
_SUBJECTS = {"reminder": "due at {due}: {what}", "overdue": "OVERDUE: {what}", "settled": "settled: {what}"}


def crisis_pages(
    plan: Plan, crisis: Crisis, now: datetime, steps: Sequence[StepRecord] = ()
) -> dict[str, str]:
    """The pages by name, in Markdown: only those that have something to show.

    Args:
        plan: the words.
        crisis: what is on record.
        now: the moment.
        steps: what the recovery did, for the review's timeline.
    """
    pages = {
        "duties": _duties(plan, crisis, now),
        "words": _words(plan, crisis, now),
        "calls": _calls(plan, crisis, now),
        "filings": _filings(plan, crisis, now),
        "review": review_draft(plan, crisis, now, steps) if crisis.ended else "",
    }
    return {name: page for name, page in pages.items() if page}


def duty_message(plan: Plan, crisis: Crisis, duty: Duty, told: Alerted) -> Message:
    """What those who owe are told of a duty; the same alert where it is overdue and when it is settled."""
    incident, what = crisis.incident.id, f"{duty.what} ({duty.key})"
    subject = _SUBJECTS[told.stage].format(due=moment(duty.due), what=what)
    lines = [
        f"{plan.service.name}, {incident}: {what}.",
        f"Owed by {', '.join(duty.who)} until {moment(duty.due)}.",
        *([f"{duty.done.word} by {duty.done.by}"] if duty.done else [_HOW.format(incident=incident)]),
    ]
    return Message(
        stage=told.stage,
        severity=_SEVERITIES[told.stage],
        incident=incident,
        subject=" ".join(subject.split()),
        text="\n".join(lines),
        dedup_key=f"{incident}.{duty.key}",
    )


def review_draft(plan: Plan, crisis: Crisis, now: datetime, steps: Sequence[StepRecord]) -> str:
    """The post-incident review as far as the records write it: a timeline, and what is left to people."""
    case = crisis.incident
    events = sorted(_events(crisis, steps))
    rows = [(moment(at), what, detail) for at, what, detail in events]
    owed = [(duty.key, ", ".join(duty.who), moment(duty.due)) for duty in open_duties(plan, crisis, now)]
    return "\n\n".join(
        [
            f"# Review of {case.id}",
            f"{case.service} was lost at {case.failed_site} ({case.reason or 'no reason given'}).",
            "## Timeline",
            table(("when", "what", "detail"), rows),
            "## To be found by people",
            "Root cause. What went well. What did not, each with an owner and a date.",
            *(["## Owed still", table(("duty", "by", "until"), owed)] if owed else []),
        ]
    )


def tellings_table(crisis: Crisis) -> str:
    """What was said, to whom, through what, and what became of it."""
    rows = [
        (moment(told.at), told.notice, told.audience, told.channel, told.outcome, _detail(told))
        for told in sorted(crisis.tellings, key=lambda each: each.at)
    ]
    return table(("when", "notice", "audience", "channel", "outcome", "detail"), rows)


def duties_table(plan: Plan, crisis: Crisis, now: datetime) -> str:
    """Who owes what until when, and who has done it."""
    return table(
        ("duty", "owed by", "until", "state"),
        [
            (duty.key, ", ".join(duty.who), moment(duty.due), _state(duty, now))
            for duty in duties(plan, crisis, now)
        ],
    )


def _duties(plan: Plan, crisis: Crisis, now: datetime) -> str:
    how = _HOW.format(incident=crisis.incident.id)
    owed = [f"# {crisis.incident.id}: what is owed", duties_table(plan, crisis, now), how]
    said = ["## What was said", tellings_table(crisis)] if crisis.tellings else []
    return "\n\n".join([*owed, *said])


def _words(plan: Plan, crisis: Crisis, now: datetime) -> str:
    """The words that wait, as they would be said."""
    parts = []
    for audience, notice in waiting(plan.crisis, crisis, now):
        words = words_of(plan, crisis, notice)
        shown = "\n".join(f"    {line}" for line in f"{words.subject}\n\n{words.text}".splitlines())
        parts += [f"## {approval_of(audience, notice)}", shown]
    if not parts:
        return ""
    return "\n\n".join(["# Words to approve", *parts, _HOW.format(incident=crisis.incident.id)])


def _calls(plan: Plan, crisis: Crisis, now: datetime) -> str:
    owed = [duty for duty in duties(plan, crisis, now) if duty.kind == "call"]
    rows = [(duty.key, duty.what, ", ".join(duty.who), moment(duty.due), _state(duty, now)) for duty in owed]
    return f"# Calls\n\n{table(('duty', 'what', 'by', 'until', 'state'), rows)}" if rows else ""


def _filings(plan: Plan, crisis: Crisis, now: datetime) -> str:
    parts = []
    for duty in (each for each in duties(plan, crisis, now) if each.kind == "file"):
        filing = plan.crisis.filings[duty.key.partition("/")[2]]
        form = "\n".join(f"    {line}" for line in form_of(filing, crisis).splitlines())
        head = f"## {filing.authority} ({duty.key}), until {moment(duty.due)}: {_state(duty, now)}"
        parts += [head, form]
    return "\n\n".join(["# Reports to regulators", *parts]) if parts else ""


def _state(duty: Duty, now: datetime) -> str:
    if duty.done:
        proof = f" ({duty.done.reference})" if duty.done.reference else ""
        return f"{duty.done.word} by {duty.done.by} at {moment(duty.done.at)}{proof}"
    return "**overdue**" if now >= duty.due else "open"


def _detail(told: Telling) -> str:
    people = "" if told.people is None else f"{told.people} people"
    return "; ".join(part for part in (people, told.detail) if part)


def _events(crisis: Crisis, steps: Sequence[StepRecord]) -> Iterator[tuple[datetime, str, str]]:
    case = crisis.incident
    yield case.detected_at, "detected", case.reason
    yield case.triggered_at, "declared", f"{case.kind} from {case.failed_site} to {case.to_site}"
    for step in steps:
        yield step.ended or step.started, step.name, f"{step.outcome} {step.detail}".strip()
    for told in crisis.tellings:
        yield told.at, f"{told.audience} by {told.channel}", f"{told.notice}: {told.outcome}"
    for said in crisis.discharges:
        words = f"{said.word} by {said.by}"
        yield said.at, said.duty, f"{words}: {said.words}" if said.words else words
    if crisis.ended:
        what = "the service runs in " + (case.to_site if crisis.ended.moved else case.failed_site)
        yield crisis.ended.at, "ended", what
