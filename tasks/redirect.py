"""Take the users to the site that recovered, once its own gateway serves them."""

import time
from collections.abc import Callable
from contextlib import suppress

from tasks.clients import service, traffic
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.incident import Incident
from tasks.facts.recovery import Traffic
from tasks.facts.traffic import Watched
from tasks.plan.plan import Plan
from tasks.plan.traffic import Shift
from tasks.policy.traffic import decide, weights_to
from tasks.step import step

Probe = Callable[[], bool]
"""One try at the target: whether it served well; an error of ours is a failed try."""

_READY_S = 30
# Each user waits for it.
_POLL_S = 0.03
_TRY_S = 1.0
_PATIENCE_S = 30


@step("smoke test before traffic")
def smoke_before_traffic(plan: Plan, incident: Incident) -> Traffic:
    """Write and read one order through the site's own gateway; traffic moves only after this.

    Raises:
        Permanent: the site does not serve within half a minute.
    """
    gateway = plan.sites[incident.to_site].gateway
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            return Traffic(served_by=service.round_trip(plan, gateway), states={})
        except Transient as error:
            if time.monotonic() > deadline:
                raise Permanent(f"{incident.to_site} does not serve its users", str(error)) from error
        time.sleep(_POLL_S)


@step("redirect traffic")
def redirect_traffic(
    plan: Plan,
    incident: Incident,
    *,
    planned: bool = False,
    shift: Shift | None = None,
    probe: Probe | None = None,
) -> Traffic:
    """Send all users to the site: at once, or in steps where a planned move asks for that.

    Args:
        plan: the plan.
        incident: where from and where to.
        planned: whether the old site still serves. One that is dead has nothing to keep: all users leave it
            at once, whatever `shift` and the plan say.
        shift: the steps of a planned move; the plan's where None.
        probe: one try at the target during the steps; an order through its own gateway where None.

    Raises:
        Transient: what moves the users does not answer.
        Permanent: it refuses, or the site did not hold a step and the users returned.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    to, steps = incident.to_site, shift or plan.service.endpoint.shift
    if planned and steps:
        gateway = plan.sites[to].gateway
        move_in_steps(plan, to, steps, probe or (lambda: service.round_trip(plan, gateway) == to))
    else:
        traffic.move(plan, {to: 100})
    standing = traffic.standing(plan)
    states = {site: each.state for site, each in standing.items()}
    weights = {site: each.weight for site, each in standing.items()}
    if weights.get(to) != 100 or not states[to].startswith("UP"):
        raise Transient(f"the endpoint does not send users to {to}", f"{weights}, {states}")
    return Traffic(served_by=to, states=states, weights=weights, settle_s=traffic.settle_s(plan))


def move_in_steps(plan: Plan, to: str, shift: Shift, probe: Probe) -> None:
    """Give a site more and more of the users, and each step its time to fail.

    Where one fails, users return to the weights of the last step that held, and further while those fail too.

    Raises:
        Permanent: a step did not hold; says which weights stand now.
        Transient: what moves the users does not answer; the last weights that held stand, where it let them.
    """
    held = [traffic.weights(plan)]
    for weights in weights_to(held[0], to, shift.shares):
        _move(plan, weights, back=held[-1])
        seen = _watch(shift, probe)
        if _held(seen, shift):
            held.append(weights)
            continue
        stand = _return(plan, held, shift, probe)
        raise Permanent(
            f"{to} does not hold {weights[to]}% of the users",
            f"{seen.failures} of {seen.tries} tries failed; users are back at {stand}",
            f"mend {to}, then move again",
        )


def _return(plan: Plan, held: list[dict[str, int]], shift: Shift, probe: Probe) -> dict[str, int]:
    """Go back to the last weights that held and still do, or to those of the beginning."""
    while True:
        weights = held.pop()
        _move(plan, weights, back=weights)
        if not held or _held(_watch(shift, probe), shift):
            return weights


def _move(plan: Plan, weights: dict[str, int], back: dict[str, int]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return traffic.move(plan, weights)
        except DrError as error:
            if isinstance(error, Transient) and time.monotonic() < deadline:
                time.sleep(_TRY_S)
                continue
            # It may be half done. That it cannot be undone either is less than why it could not be done.
            with suppress(DrError):
                traffic.move(plan, back)
            raise


def _watch(shift: Shift, probe: Probe) -> Watched:
    began, seen = time.monotonic(), Watched()
    while decide(seen, shift, _room(shift)) == "wait":
        failed = not _served(probe)
        time.sleep(min(_TRY_S, shift.pause.total_seconds()))
        seen = Watched(seen.tries + 1, seen.failures + failed, time.monotonic() - began)
    return seen


def _held(seen: Watched, shift: Shift) -> bool:
    return decide(seen, shift, _room(shift)) == "go on"


def _room(shift: Shift) -> int:
    return max(1, int(shift.pause.total_seconds() / _TRY_S))


def _served(probe: Probe) -> bool:
    try:
        return probe()
    except DrError:
        return False
