"""Answer an alarm: assess, decide, recover. Source: the seed's "Disaster Declaration Process"."""

from datetime import datetime

from prefect import flow
from prefect.runtime import flow_run

from flows.fail_over import fail_over
from flows.recover_cold import recover_cold
from tasks.approval import ask_commanders, decide_without_asking, record_decision
from tasks.current import current_plan
from tasks.facts.report import Report
from tasks.facts.response import Source
from tasks.impact import assess_alarm, case_of, goes_cold, raise_alarm
from tasks.notify import notify


def _question() -> str:
    """What the UI calls the run: the question that it asks."""
    return f"is {flow_run.parameters.get('site') or 'the active site'} lost?"


@flow(flow_run_name=_question, persist_result=False)
def respond(  # noqa: PLR0913 -- what whoever raises the alarm may say
    site: str | None = None,
    reason: str = "",
    detected_at: datetime | None = None,
    source: Source = "manual_trigger",
    evidence: str = "",
    approved_by: list[str] | None = None,
    incident: str | None = None,
) -> Report | None:
    """Take a site that is said to be lost from its alarm to a recovery, or to a refusal on record.

    Args:
        site: the site that is said to be lost; the active one where empty.
        reason: why, in your words; it stands in the report.
        detected_at: when it was detected; now where empty.
        source: what kind of trigger this is.
        evidence: what was seen, in short.
        approved_by: commanders of the plan who declare it with this call.
        incident: an incident to resume; this run's own where empty.
    """
    plan = current_plan()
    alarm = raise_alarm(plan, site, reason, source, evidence, detected_at, incident)
    decision = decide_without_asking(plan, alarm, approved_by or [])
    opened = notify.submit(plan, case_of(plan, alarm), "opened")
    impact = assess_alarm(plan, alarm, decision)
    decision = record_decision(plan, alarm, decision or ask_commanders(plan, alarm, impact))
    opened.wait()
    if not decision.recovers:
        return None
    recover = recover_cold if goes_cold(plan, impact) else fail_over
    return recover(reason=alarm.reason, incident=alarm.incident, detected_at=alarm.detected_at)
