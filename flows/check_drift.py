"""See that the servers are what the plan says. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.configuration import capture_servers, find_drift, publish_drift
from tasks.current import current_plan
from tasks.facts.archive import Finding


@flow(persist_result=False)
def check_drift() -> tuple[Finding, ...]:
    """Compare what every server runs with, and its files, with what the plan renders.

    Returns:
        the findings; the run fails where something drifted or could not be asked.
    """
    plan = current_plan()
    found = find_drift(plan, capture_servers(plan))
    publish_drift(found)
    return found
