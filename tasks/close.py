"""Close an incident: the epoch is free for the next."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients.truth import Truth, close
from tasks.facts.recovery import Incident
from tasks.plan.plan import Plan
from tasks.retry import is_transient


@task(
    name="close the incident",
    retries=5,
    retry_delay_seconds=0.5,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def close_incident(plan: Plan, incident: Incident) -> None:
    """Mark the incident as ended.

    Raises:
        Refused: a later incident took over.
        Transient: etcd has no quorum.
    """
    close(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
