"""What the journal has of what is said and owed about an incident. No Prefect here: a loop looks at it."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from tasks.clients import journal
from tasks.errors import Refused
from tasks.facts.base import Fact
from tasks.facts.crisis import Alerted, Batch, Crisis, Discharge, Ended, Outcome, Telling
from tasks.facts.incident import Incident
from tasks.facts.report import Report
from tasks.facts.response import Decision
from tasks.plan.crisis import PublicChannel
from tasks.plan.plan import Plan
from tasks.policy.crisis import UPDATE
from tasks.policy.duties import open_duties

# A disaster is looked at for so long at least, and until what is owed longest was due some time ago.
_LOOKED_AT, _AFTERWARDS = timedelta(days=14), timedelta(days=7)
_TELLINGS, _DISCHARGES, _ALERTED = "public/tellings/", "public/discharges/", "public/alerted/"
F = TypeVar("F", bound=Fact)
Place = tuple[str, str, PublicChannel]
"""A notice's key, an audience and a channel: one telling."""


def read_crisis(plan: Plan, incident: str) -> Crisis:
    """All that is on record of one incident.

    Raises:
        Refused: there is no such incident, or it is a planned move: nobody outside is told of one.
        Transient: no store answers.
    """
    text = journal.read(plan, incident, "incident.json")
    if text is None:
        raise Refused(f"{incident} is no declared incident", hint="`dr incident list` shows them")
    case = Incident.model_validate_json(text)
    if case.kind == "switchover":
        raise Refused(f"{incident} is a planned move", hint="nobody outside is told of one")
    return Crisis(
        incident=case,
        ended=_ended(plan, case),
        discharges=tuple(sorted(_all(plan, case.id, _DISCHARGES, Discharge), key=lambda each: each.at)),
        tellings=tuple(_furthest(_all(plan, case.id, _TELLINGS, Telling))),
        alerted=tuple(_all(plan, case.id, _ALERTED, Alerted)),
    )


def crisis_if_any(plan: Plan, incident: str) -> Crisis | None:
    """The same; None of what nobody outside is told of.

    Raises:
        Transient: no store answers.
    """
    try:
        return read_crisis(plan, incident)
    except Refused:
        return None


def recent_incidents(plan: Plan, now: datetime) -> list[str]:
    """The ids of the disasters that were declared lately, oldest first.

    Raises:
        Transient: no store answers.
    """
    owed = [plan.crisis.review.within, *(each.within for each in plan.crisis.filings.values())]
    since = f"inc-{now - max(_LOOKED_AT, max(owed) + _AFTERWARDS):%Y%m%dT%H%M%SZ}"
    known = journal.incidents(plan, having="incident.json")
    return [name for name in known if name >= since]


def record_telling(  # noqa: PLR0913 -- which telling, and what became of it
    plan: Plan, incident: Incident, place: Place, outcome: Outcome, detail: str, people: int | None = None
) -> Telling:
    """Put on record what has become of a telling now.

    Raises:
        Transient: no store takes it.
    """
    notice, audience, channel = place
    telling = Telling(
        notice=notice,
        audience=audience,
        channel=channel,
        outcome=outcome,
        detail=detail,
        people=people,
        at=datetime.now(UTC),
    )
    # A name of its own for each outcome: a store that missed one does not hide it from the others.
    _write(plan, incident, f"{_TELLINGS}{notice}/{audience}/{channel}-{outcome}.json", telling)
    return telling


def write_discharge(plan: Plan, incident: Incident, said: Discharge) -> None:
    """Put on record what somebody did.

    Raises:
        Transient: no store takes it.
    """
    name = said.duty.replace("/", "-")
    _write(plan, incident, f"{_DISCHARGES}{said.at:%Y%m%dT%H%M%S.%f}-{name}.json", said)


def write_alerted(plan: Plan, incident: Incident, told: Alerted) -> None:
    """Put on record that people were told of a duty.

    Raises:
        Transient: no store takes it.
    """
    _write(plan, incident, f"{_ALERTED}{told.duty.replace('/', '-')}-{told.stage}.json", told)


def read_batches(plan: Plan, incident: str, place: Place) -> list[Batch]:
    """The batches of one telling so far, in their order.

    Raises:
        Transient: no store answers.
    """
    return list(_all(plan, incident, _batches(place), Batch))


def write_batch(plan: Plan, incident: Incident, place: Place, number: int, batch: Batch) -> None:
    """Put a batch on record, in the place of what was there of it.

    Raises:
        Transient: no store takes it.
    """
    _write(plan, incident, f"{_batches(place)}{number:06}.json", batch)


def require_duty(plan: Plan, crisis: Crisis, said: Discharge) -> None:
    """See that somebody may discharge a duty.

    Raises:
        Refused: it is not owed, or not by them.
    """
    owed = {duty.key: duty.who for duty in open_duties(plan, crisis, said.at)}
    if crisis.ended is None:
        owed[UPDATE] = plan.declaration.commanders
    if said.duty not in owed:
        hint = f"owed now: {', '.join(owed) or 'nothing'}"
        raise Refused(f"{crisis.incident.id} does not owe {said.duty}", hint=hint)
    may = (*owed[said.duty], *plan.declaration.commanders)
    if said.by not in may:
        raise Refused(f"{said.by} does not owe {said.duty}", hint=f"one of: {', '.join(dict.fromkeys(may))}")


def person(address: str) -> str:
    """A digest of an address: on record there is nobody's address."""
    return sha256(address.encode()).hexdigest()[:16]


def _batches(place: Place) -> str:
    return f"public/batches/{'/'.join(place)}/"


def _ended(plan: Plan, case: Incident) -> Ended | None:
    if text := journal.read(plan, case.id, "report.json"):
        return Ended(at=Report.model_validate_json(text).recovered_at, moved=True)
    if text := journal.read(plan, case.id, "decision.json"):
        decision = Decision.model_validate_json(text)
        if decision.outcome == "refused" and decision.at > case.triggered_at:
            return Ended(at=decision.at, moved=False)
    return None


def _furthest(tellings: Iterable[Telling]) -> Iterator[Telling]:
    """One for each notice, audience and channel: what settled it, or else the latest."""
    found: dict[tuple[str, str, str], Telling] = {}
    for each in sorted(tellings, key=lambda told: (told.settled, told.at)):
        found[each.notice, each.audience, each.channel] = each
    return iter(found.values())


def _all(plan: Plan, incident: str, prefix: str, kind: type[F]) -> Iterator[F]:
    return (kind.model_validate_json(text) for text in journal.read_all(plan, incident, prefix))


def _write(plan: Plan, incident: Incident, name: str, fact: Fact) -> None:
    journal.write(plan, incident.failed_site, incident.id, name, fact.model_dump_json())
