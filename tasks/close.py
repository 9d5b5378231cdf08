"""Close an incident: the epoch is free for the next."""

from tasks.clients.truth import Truth, close
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.retry import retried


@retried("close the incident", times=5, delay=0.5)
def close_incident(plan: Plan, incident: Incident) -> None:
    """Mark the incident as ended.

    Raises:
        Refused: a later incident took over.
        Transient: etcd has no quorum.
    """
    close(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
