"""Validate a recovery: the seed's smoke tests, through the public endpoint and on the servers."""

from prefect import flow

from tasks.current import current_plan
from tasks.declare import finished_incident
from tasks.validate import validate_public, validate_servers


@flow(persist_result=False)
def validate_recovery(incident: str | None = None) -> None:
    """Place an order as a user does, and ask the servers what they are.

    Args:
        incident: the incident whose recovery is validated; the latest where empty.
    """
    plan = current_plan()
    case, _ = finished_incident(plan, incident)
    validate_public(plan, case)
    validate_servers(plan, case)
