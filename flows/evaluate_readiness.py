"""Ask whether the service could be recovered now. Source: the seed's "Disaster Recovery Sites"."""

from prefect import flow

from tasks.configuration import capture_servers, find_drift
from tasks.current import current_plan
from tasks.facts.readiness import Readiness
from tasks.plan.plan import Plan
from tasks.readiness import judge, publish_readiness
from tasks.trying import softly


@flow(persist_result=False)
def evaluate_readiness() -> Readiness:
    """Look at replication, archives, backups, capacity, credentials, clocks, drills and more.

    Returns:
        READY, AT RISK or NOT READY, with every answer; the run fails where the service is not ready.
    """
    plan = current_plan()
    found = readiness_now(plan)
    publish_readiness(plan, found)
    return found


def readiness_now(plan: Plan) -> Readiness:
    """The servers' drift, then everything else that a recovery would need, judged."""
    return judge(plan, softly(find_drift, plan, capture_servers(plan)))
