"""Reading what incidents left: their steps and reports. No Prefect here: `dr report` is quick."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import ValidationError

from tasks.clients import journal
from tasks.drill_evidence import drill_texts
from tasks.errors import Refused
from tasks.facts.communication import Delivery
from tasks.facts.incident import Incident, StepRecord
from tasks.facts.report import Report
from tasks.facts.response import Decision
from tasks.plan.plan import Plan
from tasks.policy.communication import furthest
from tasks.policy.recovery import merge_attempts

_NEVER = datetime.min.replace(tzinfo=UTC)


def read_report(plan: Plan, incident: str) -> Report:
    """A report from the journal, in its newest state.

    Raises:
        Refused: there is none.
        Transient: no store answers.
    """
    text = _newest_text(plan, incident)
    if text is None:
        raise Refused(f"{incident} has no report", hint="`dr report list` shows what there is")
    return Report.model_validate_json(text)


def read_reports(plan: Plan) -> list[Report]:
    """Every report that there is, oldest first.

    Raises:
        Transient: no store answers.
    """
    return [Report.model_validate_json(text) for _, text in report_texts(plan)]


def report_texts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every incident that has a report, with the text of its newest state, oldest first.

    Raises:
        Transient: no store answers.
    """
    for incident in journal.incidents(plan, having="report.json"):
        text = _newest_text(plan, incident)
        if text is not None:
            yield incident, text


def _newest_text(plan: Plan, incident: str) -> str | None:
    return max(journal.copies(plan, incident, "report.json"), key=_state, default=None)


def _state(text: str) -> tuple[bool, datetime]:
    """Whether it can be read, and when it was written."""
    try:
        return True, Report.model_validate_json(text).written_at or _NEVER
    except ValidationError:
        return False, _NEVER


def unended_since(plan: Plan, since: datetime) -> list[str]:
    """The disasters that were detected since then, have no report, and were not called off.

    Raises:
        Transient: no store answers.
    """
    ended = set(journal.incidents(plan, having="report.json"))
    going = (name for name in journal.incidents(plan, having="incident.json") if name not in ended)
    return [name for name in going if _goes_on(plan, name, since)]


def _goes_on(plan: Plan, name: str, since: datetime) -> bool:
    case = Incident.model_validate_json(journal.read(plan, name, "incident.json") or "")
    decided = journal.read(plan, name, "decision.json")
    off = decided is not None and not Decision.model_validate_json(decided).recovers
    return case.kind != "switchover" and case.detected_at >= since and not off


def sealable(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every incident and every drill that has a report, with its text.

    Raises:
        Transient: no store answers.
    """
    yield from report_texts(plan)
    yield from drill_texts(plan)


def read_steps(plan: Plan, incident: Incident) -> list[StepRecord]:
    """The merged step records of an incident, in order.

    Raises:
        Transient: no store answers.
    """
    texts = journal.read_all(plan, incident.id, "steps/")
    return merge_attempts(StepRecord.model_validate_json(text) for text in texts)


def read_deliveries(plan: Plan, incident: str) -> list[Delivery]:
    """What was told of an incident so far, one record for each stage and channel, by time.

    Raises:
        Transient: no store answers.
    """
    texts = journal.read_all(plan, incident, "notifications/")
    return furthest(Delivery.model_validate_json(text) for text in texts)


def latest_incident(plan: Plan) -> str:
    """The id of the newest incident that has a report.

    Raises:
        Refused: there is none.
    """
    known = journal.incidents(plan, having="report.json")
    if not known:
        raise Refused("no incident has a report")
    return known[-1]
