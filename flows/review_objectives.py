"""Hold what was achieved against the tier. Source: the seed's "Recovery Time and Point Objectives"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.objectives import Achieved
from tasks.objectives import measure_objectives, publish_objectives


@flow(persist_result=False)
def review_objectives(days: int = 30) -> Achieved:
    """Measure RTO, RPO, MTTR, MTBF and availability over the last days, and forecast restores.

    Args:
        days: how many, up to now.
    """
    plan = current_plan()
    found, restores = measure_objectives(plan, days)
    publish_objectives(found, restores)
    return found
