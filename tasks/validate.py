"""Validate a recovery as the users see it. Source: the seed's "Recovery Validation", smoke tests."""

import time
from datetime import UTC, datetime

from tasks.clients import cache, orders, patroni, postgres, traffic
from tasks.errors import Permanent, Transient
from tasks.facts.recovery import Incident, Validation
from tasks.plan.plan import Plan
from tasks.step import step

_PATIENCE_S = 20
_POLL_S = 0.1


@step("validate through the public endpoint")
def validate_public(plan: Plan, incident: Incident) -> Validation:
    """Place an order through the public endpoint and read it back; the new site must have taken it.

    Raises:
        Permanent: users are not served, or by another site.
    """
    url = plan.service.endpoint.url
    # Resolvers may keep the answer of before for a while: until then, the old site is no failure yet.
    settled = time.monotonic() + traffic.settle_s(plan)
    deadline = settled + _PATIENCE_S
    while True:
        try:
            site = orders.round_trip(url)
            if site == incident.to_site or time.monotonic() >= settled:
                break
        except Transient as error:
            if time.monotonic() > deadline:
                raise Permanent("users are not served", str(error)) from error
        time.sleep(_POLL_S)
    first_served = datetime.now(UTC)
    if site != incident.to_site:
        raise Permanent(f"users are served by {site}", f"they should be served by {incident.to_site}")
    return Validation(site=site, first_served=first_served, checks=(f"an order through {url}",))


@step("validate the site's servers")
def validate_servers(plan: Plan, incident: Incident) -> Validation:
    """Write to the database's leader and ask Redis for its role.

    Raises:
        Permanent: one is not what it should be.
        Transient: one does not answer.
    """
    node = patroni.leader(plan, incident.to_site)
    written = postgres.prove_write(plan, node.host, f"{incident.id} validation")
    master = cache.master_of(plan, incident.to_site)
    if cache.role(plan, master) != "master":
        raise Permanent(f"Redis of {incident.to_site} is no master", master)
    checks = (f"a write on {node.name}", f"Redis master {master}")
    return Validation(site=incident.to_site, first_served=written, checks=checks)
