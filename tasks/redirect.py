"""Take the users to the site that recovered, once its own gateway serves them."""

import time

from tasks.clients import endpoint, orders
from tasks.errors import Permanent, Transient
from tasks.facts.recovery import Incident, Traffic
from tasks.plan.plan import Plan
from tasks.step import step

_READY_S = 30
_POLL_S = 0.1


@step("smoke test before traffic")
def smoke_before_traffic(plan: Plan, incident: Incident) -> Traffic:
    """Write and read one order through the site's own gateway; traffic moves only after this.

    Raises:
        Permanent: the site does not serve within half a minute.
    """
    gateway = plan.sites[incident.to_site].addresses("gateway")[0]
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            return Traffic(served_by=orders.round_trip(f"http://{gateway}:8080"), states={})
        except Transient as error:
            if time.monotonic() > deadline:
                raise Permanent(f"{incident.to_site} does not serve its users", str(error)) from error
        time.sleep(_POLL_S)


@step("redirect traffic")
def redirect_traffic(plan: Plan, incident: Incident) -> Traffic:
    """Point the public endpoint at the site.

    Raises:
        Transient: the endpoint's administrator does not answer.
        Permanent: it refused a command.
    """
    endpoint.redirect(plan, incident.to_site)
    states = endpoint.states(plan)
    if not states.get(incident.to_site, "").startswith("UP"):
        raise Transient(f"the endpoint does not send users to {incident.to_site}", str(states))
    return Traffic(served_by=incident.to_site, states=states)
