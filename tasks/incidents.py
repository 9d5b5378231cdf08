"""What is on record about incidents. No Prefect here: `dr incident` is quick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tasks.clients import journal
from tasks.clients.truth import Truth, read_truth
from tasks.errors import Refused
from tasks.facts.base import Fact
from tasks.facts.incident import Incident
from tasks.facts.report import Report
from tasks.facts.response import Alarm, Decision, Impact
from tasks.plan.plan import Plan
from tasks.policy.fence import read_override

_FLOW_OF = {"switchover": "switch_over", "cold": "recover_cold"}
_RECORDS = ("alarm", "impact", "decision", "incident", "report")
F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class OnRecord:
    """One incident's records; None for what there is not.

    Attributes:
        id: the incident's id.
        truth: the record in etcd, by which an incident is open or not.
    """

    id: str
    truth: Truth
    alarm: Alarm | None
    impact: Impact | None
    decision: Decision | None
    case: Incident | None
    report: Report | None

    @property
    def state(self) -> str:
        """Where it stands, in one word or two."""
        if self.truth.incident == self.id and not self.truth.done:
            return "open"
        if self.report:
            return f"ended, {self.report.verdict}"
        if self.case:
            return "aborted" if self.decision and not self.decision.recovers else "given up"
        if self.decision:
            return self.decision.outcome
        return "waits for its commanders"

    @property
    def goes_on(self) -> bool:
        """Whether it is about a loss that nobody has called off."""
        going = {"open", "waits for its commanders", "declared", "automatic"}
        return self.state in going or bool(self.report)


def on_record(plan: Plan, incident: str) -> OnRecord:
    """Everything that the journal has of an incident.

    Raises:
        Refused: it has nothing.
        Transient: no store answers, or etcd has no quorum.
    """
    return _on_record(plan, incident, read_truth(plan)[0])


def all_on_record(plan: Plan) -> list[OnRecord]:
    """The same of every incident, oldest first.

    Raises:
        Transient: no store answers, or etcd has no quorum.
    """
    truth, _ = read_truth(plan)
    return [_on_record(plan, incident, truth) for incident in journal.incidents(plan)]


def _on_record(plan: Plan, incident: str, truth: Truth) -> OnRecord:
    texts = {name: journal.read(plan, incident, f"{name}.json") for name in _RECORDS}
    # One that was killed right after it took the epoch has no record yet.
    if not any(texts.values()) and truth.incident != incident:
        raise Refused(f"there is no incident {incident}", hint="`dr incident list` shows them")

    def found(kind: type[F], name: str) -> F | None:
        text = texts[name]
        return kind.model_validate_json(text) if text else None

    return OnRecord(
        id=incident,
        truth=truth,
        alarm=found(Alarm, "alarm"),
        impact=found(Impact, "impact"),
        decision=found(Decision, "decision"),
        case=found(Incident, "incident"),
        report=found(Report, "report"),
    )


def flow_to_resume(record: OnRecord) -> str:
    """The flow that goes on with an incident.

    Raises:
        Refused: it has ended, or was refused.
    """
    if record.report and record.state != "open":
        raise Refused(f"{record.id} has ended", record.state, "a new one is declared with `dr declare`")
    if record.decision and not record.decision.recovers:
        raise Refused(f"{record.id} was not declared", record.decision.why)
    if record.truth.incident == record.id:
        return _FLOW_OF.get(record.truth.kind, "fail_over")
    return "respond" if record.alarm and record.case is None else "fail_over"


def require_override(record: OnRecord, flow: str, commanders: Sequence[str], statement: str) -> None:
    """Refuse an override that could not be one, before anything is started.

    Raises:
        Refused: the incident fences nothing, or the statement names no commander or not the failed site.
    """
    if record.case is None or flow not in {"fail_over", "recover_cold"}:
        raise Refused(f"{record.id} has no fence to override", record.state)
    read_override(statement, commanders, record.case.failed_site)
