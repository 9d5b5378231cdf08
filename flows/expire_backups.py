"""Remove what is past its retention. Source: the seed's "Backup Schedule and Retention"."""

from prefect import flow

from tasks.current import current_plan
from tasks.expiry import carry_out, decide_expiry, moment_of, require_thaw, show_decisions
from tasks.expiry_evidence import begin_evidence, end_evidence, publish_expiry
from tasks.facts.expiry import Evidence


@flow(persist_result=False)
def expire_backups(dry_run: bool = True, now: str | None = None, force: bool = False) -> Evidence:
    """Remove every point that is past its retention, at every site; by default only show which.

    Refused while an incident is open. The last good point of an asset stays, at every site.

    Args:
        dry_run: show only.
        now: decide for another moment, such as 2026-06-30T12:00:00+00:00; a dry run may look ahead.
        force: also remove more than half of an asset's good points at once, long overdue; asked for when the
            expiry did not run for long.

    Returns:
        what was decided and done; the run fails where an asset had to be left alone.
    """
    plan = current_plan()
    at = moment_of(now, dry_run=dry_run)
    require_thaw(plan)
    decisions = decide_expiry(plan, at, force=force)
    show_decisions(decisions, at, dry_run=dry_run)
    evidence = begin_evidence(plan, at, decisions, dry_run=dry_run, force=force)
    if not dry_run:
        evidence = end_evidence(plan, evidence, carry_out(plan, decisions))
    publish_expiry(evidence)
    return evidence
