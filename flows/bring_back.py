"""Bring a failed site back as a standby. Source: the seed's "Disaster Recovery Sites"."""

from prefect import flow

from flows.activate import stand_down
from tasks.current import current_plan
from tasks.declare import finished_incident
from tasks.facts.report import Report
from tasks.hold import hold_returned
from tasks.nearest import complete_nearest
from tasks.rejoin import rejoin, save_divergence
from tasks.report import complete_report


@flow(persist_result=False)
def bring_back(incident: str | None = None) -> Report:
    """Save what only the old site has, let it rewind or be made anew, and complete the incident's report.

    A site with a DCS of its own returns as a primary, and is held first: start this before the site.

    Args:
        incident: the incident whose failed site returned; the latest where empty.
    """
    plan = current_plan()
    case, promotion = finished_incident(plan, incident)
    # In the plan's etcd, the fence has held it since.
    held = hold_returned(plan, case) if plan.sites[case.failed_site].dcs == "own" else None
    divergence = save_divergence(plan, case, promotion)
    complete_nearest(plan, case)
    rejoin(plan, case, divergence)
    report = complete_report(plan, case, divergence, held)
    stand_down(plan, case)
    return report
