"""Bring the service home to the primary site. Source: the seed's "Disaster Recovery Sites"."""

from prefect import flow

from flows.bring_back import bring_back
from flows.switch_over import switch_over
from tasks.current import current_plan
from tasks.facts.report import Report
from tasks.rejoin import has_returned
from tasks.this_run import own_incident


@flow(persist_result=False)
def fail_back(reason: str = "", incident: str | None = None) -> Report:
    """Take the primary site back as a standby where that was not done yet, then move the service to it.

    Args:
        reason: why, in your words; it stands in the report.
        incident: a move home to resume; a new one where empty.
    """
    plan = current_plan()
    home = plan.site_of("primary")
    if not has_returned(plan, home):
        bring_back()
    # The move has this run's own id: when the run is started again, it goes on.
    return switch_over(reason or f"home to {home}", to_site=home, incident=incident or own_incident())
