"""Start and stop the further services of a site: they run where the users are, and nowhere else."""

import time
from datetime import UTC, datetime
from functools import partial

from tasks.clients import switch
from tasks.clients.listeners import listening
from tasks.clients.parallel import ask_all
from tasks.clients.service import healthy
from tasks.clients.truth import Truth, active_site, require_epoch
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.incident import Incident
from tasks.facts.services import Activation, StoodDown
from tasks.plan.plan import Plan
from tasks.policy.order import ACTIVATE, STAND_DOWN
from tasks.step import step

_POLL_S = 0.2
# Longer than the command itself may take.
_HOSTS_S = 75.0


@step(ACTIVATE + " {service}")
def activate_service(plan: Plan, incident: Incident, service: str, wave: int) -> Activation:
    """Start a service on each host of the site where it does not serve; see it through the site's gateway.

    A host that cannot start it is named in the result, as long as another one can.

    Raises:
        Permanent: no host can start it, or it is not healthy within the plan's validation deadline.
        Transient: no host can be reached.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    site = incident.to_site
    hosts = tuple(plan.sites[site].running("service"))
    answers = ask_all({host: partial(_start, plan, site, host, service) for host in hosts}, _HOSTS_S)
    absent = {host: answer for host, answer in answers.items() if answer}
    if len(absent) == len(hosts):
        raise next(iter(absent.values()))
    _until_served(plan, incident, service)
    return Activation(
        service=service,
        wave=wave,
        at=datetime.now(UTC),
        hosts=tuple(host for host in hosts if host not in absent),
        absent={host: f"{error.message}: {error.detail}" for host, error in absent.items()},
    )


@step(STAND_DOWN + " {service}")
def stand_down_service(plan: Plan, incident: Incident, service: str) -> StoodDown:
    """Stop a service on each host of the site that is not active any more; nothing of it listens then.

    Raises:
        Refused: the site is active.
        Permanent: a host cannot stop it.
        Transient: a host cannot be reached, or something still listens.
    """
    site = incident.failed_site
    if active_site(plan) == site:
        raise Refused(f"{site} is active: {service} is not stopped there", incident.id)
    hosts = plan.sites[site].running("service")
    stops = {host: partial(switch.stop_service, plan, site, host, service) for host in hosts}
    for error in filter(None, ask_all(stops, _HOSTS_S).values()):
        raise error
    port = plan.services[service].port
    if still := [host for host, each in hosts.items() if listening(str(each.address), [port])]:
        raise Transient(f"{service} still listens at {site}", f"port {port} of {', '.join(still)}")
    return StoodDown(service=service, hosts=tuple(hosts), at=datetime.now(UTC))


def _start(plan: Plan, site: str, host: str, service: str) -> None:
    """Start it on a host unless it serves there."""
    wanted = plan.services[service]
    if not _serves(f"http://{plan.sites[site].hosts[host].address}:{wanted.port}", wanted.health):
        switch.start_service(plan, site, host, service)


def _until_served(plan: Plan, incident: Incident, service: str) -> None:
    gateway, path = plan.sites[incident.to_site].gateway, plan.services[service].public_health
    patience_s = plan.validation.deadline.total_seconds()
    deadline = time.monotonic() + patience_s
    while not _serves(gateway, path):
        if time.monotonic() > deadline:
            raise Permanent(
                f"{service} is not healthy at {incident.to_site} within {patience_s:g} s",
                f"{gateway}{path} does not answer 200",
            )
        time.sleep(_POLL_S)


def _serves(base: str, path: str) -> bool:
    try:
        return healthy(base, path)
    except Transient:
        return False
