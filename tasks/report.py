"""The evidence of an incident: what was recovered, how fast, with what loss, against the tier."""

from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients import journal
from tasks.evidence import read_deliveries, read_report, read_steps
from tasks.facts.fence import Fence, Held
from tasks.facts.incident import Incident
from tasks.facts.loss import Divergence, LedgerCount, Loss
from tasks.facts.move import Handover
from tasks.facts.recovery import Assessment, Promotion, Validation
from tasks.facts.replay import Replay
from tasks.facts.report import Report, Targets
from tasks.facts.response import Decision
from tasks.facts.restored import ColdRestore
from tasks.lost import count_missing
from tasks.plan.plan import Plan
from tasks.policy.fence import fenced
from tasks.policy.order import recovered
from tasks.policy.recovery import (
    bound_loss,
    exact_loss,
    is_afterwards,
    ledger_loss,
    loss_of_move,
    phases,
    verdict,
)
from tasks.policy.replay import after_promotion
from tasks.policy.response_words import decision_record
from tasks.policy.words import report_markdown

_VERIFY_FROM = "validate through the public endpoint"


@task(name="report", cache_policy=NO_CACHE)
def write_report(  # noqa: PLR0913 -- the evidence is everything the flow found
    plan: Plan,
    incident: Incident,
    assessment: Assessment,
    fence: Fence,
    promotion: Promotion,
    validation: Validation,
    restored: ColdRestore | None = None,
    replay: Replay | None = None,
) -> Report:
    """Write the report of a recovery: the loss as a bound or, of one from backups, as the ledger counts it.

    Raises:
        Transient: no store takes it.
    """
    last_good = assessment.seen.at if assessment.seen else incident.detected_at
    bound = bound_loss(assessment.seen, promotion, fence.proven_at)
    count = count_missing(plan, incident)
    loss = ledger_loss(count) if restored and count else bound
    report = _compose(plan, incident, validation, last_good, loss, count)
    read = after_promotion(replay, promotion.fork_lsn) if replay else None
    told = {"bound": bound, "restored": restored, "replay": read, "fence": fence}
    report = report.model_copy(update=told | {"verdict": fenced(report.verdict, fence)})
    _publish(plan, incident, report)
    return report


@task(name="report the move", cache_policy=NO_CACHE)
def write_move_report(
    plan: Plan, incident: Incident, handover: Handover, promotion: Promotion, validation: Validation
) -> Report:
    """Write the report of a finished planned move, which lost nothing.

    Raises:
        Permanent: the new primary began before the end of the old one's WAL.
        Transient: no store takes it.
    """
    loss = loss_of_move(handover, promotion)
    pause_s = (validation.first_served - handover.told_at).total_seconds()
    count = count_missing(plan, incident)
    report = _compose(plan, incident, validation, incident.triggered_at, loss, count)
    report = report.model_copy(update={"write_pause_seconds": round(pause_s, 3)})
    _publish(plan, incident, report)
    return report


@task(name="complete the report", cache_policy=NO_CACHE)
def complete_report(
    plan: Plan, incident: Incident, divergence: Divergence, held: Held | None = None
) -> Report:
    """Replace the bound of the loss by the exact figure, once the old site's WAL was read.

    Raises:
        Refused: the failover has no report yet.
        Transient: no store takes it.
    """
    before = read_report(plan, incident.id)
    loss = exact_loss(divergence)
    report = before.model_copy(
        update={
            "rpo": loss,
            "verdict": fenced(verdict(before.rto_seconds, loss, plan.tier), before.fence),
            "divergence": divergence,
            "second_primaries": held.primaries if held else (),
            "ledger": count_missing(plan, incident),
            "steps": tuple(read_steps(plan, incident)),
        }
    )
    _publish(plan, incident, report)
    return report


@task(name="complete the report of a recovery from backups", cache_policy=NO_CACHE)
def complete_restored(plan: Plan, incident: Incident, report: Report, checked: str) -> Report:
    """Add what went on after the users were served.

    Raises:
        Transient: no store takes it.
    """
    restored = report.restored.model_copy(update={"checked": checked}) if report.restored else None
    steps = tuple(read_steps(plan, incident))
    done = report.model_copy(update={"restored": restored, "steps": steps})
    _publish(plan, incident, done)
    return done


def _compose(  # noqa: PLR0913 -- as write_report
    plan: Plan,
    incident: Incident,
    validation: Validation,
    last_good: datetime,
    loss: Loss,
    count: LedgerCount | None,
) -> Report:
    steps = read_steps(plan, incident)
    served = [step for step in steps if not is_afterwards(step.name)]
    took = phases(last_good, incident.detected_at, served, _VERIFY_FROM)
    return Report(
        incident=incident.id,
        kind=incident.kind,
        verdict=verdict(took, loss, plan.tier),
        reason=incident.reason,
        declared=_declared(plan, incident),
        failed_site=incident.failed_site,
        to_site=incident.to_site,
        epoch=incident.epoch,
        detected_at=incident.detected_at,
        recovered_at=max(step.ended or step.started for step in served),
        first_write_at=validation.first_served,
        targets=_targets(plan),
        rto_seconds=took,
        rpo=loss,
        bound=loss,
        ledger=count,
        told=tuple(read_deliveries(plan, incident.id)),
        services=recovered(plan.turns, plan.service.name, validation.first_served, steps),
        steps=tuple(steps),
    )


def _declared(plan: Plan, incident: Incident) -> str:
    text = journal.read(plan, incident.id, "decision.json", incident.failed_site)
    decision = Decision.model_validate_json(text) if text else None
    return decision_record(decision) if decision and decision.recovers else ""


def _targets(plan: Plan) -> Targets:
    tier = plan.tier
    return Targets(
        tier=plan.service.tier, rto_seconds=tier.rto.total_seconds(), rpo_seconds=tier.rpo.total_seconds()
    )


def _publish(plan: Plan, incident: Incident, report: Report) -> None:
    text = report.model_copy(update={"written_at": datetime.now(UTC)}).model_dump_json(indent=2)
    journal.write(plan, incident.failed_site, incident.id, "report.json", text)
    create_markdown_artifact(
        key=f"report-{incident.id.lower()}",
        markdown=report_markdown(report),
        description=f"{incident.id}: {report.verdict}",
    )
