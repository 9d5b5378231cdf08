"""Who gets the users: one contract over what the plan has moving them; a caller never knows which it is.

Weights are the parts of the users in percent, by site, for the sites that have a gateway; they sum to 100.
"""

from collections.abc import Mapping
from typing import Protocol

from tasks.clients.traffic import haproxy, istio, route53
from tasks.clients.traffic.standing import Standing
from tasks.errors import Refused
from tasks.plan.plan import Plan
from tasks.plan.traffic import Driver

Weights = dict[str, int]


class _Mover(Protocol):
    def standing(self, plan: Plan) -> dict[str, Standing]:
        """How each site stands with the users."""

    def move(self, plan: Plan, weights: Mapping[str, int]) -> None:
        """Set every site's weight."""


_MOVERS: Mapping[Driver, _Mover] = {"haproxy": haproxy, "route53": route53, "istio": istio}


def standing(plan: Plan) -> dict[str, Standing]:
    """Each site's weight and state.

    Raises:
        Transient: what moves the users does not answer, or not now.
        Permanent: it refuses, or is not as the plan has it.
    """
    found = _mover(plan).standing(plan)
    return {site: found[site] for site in _sites(plan) if site in found}


def weights(plan: Plan) -> Weights:
    """The part of the users that each site is sent, in percent.

    Raises:
        Transient, Permanent: as `standing`.
    """
    return {site: each.weight for site, each in standing(plan).items()}


def states(plan: Plan) -> dict[str, str]:
    """Each site's state: UP where users are sent and served, MAINT where none are sent, or such as DOWN.

    Raises:
        Transient, Permanent: as `standing`.
    """
    return {site: each.state for site, each in standing(plan).items()}


def move(plan: Plan, to: Mapping[str, int]) -> None:
    """Send each site its part of the users; those that are not named get none.

    Args:
        plan: the plan.
        to: percentages that sum to 100, by site.

    Raises:
        Refused: they do not, or a site has no gateway; nothing was touched.
        Transient: what moves the users does not answer, or not now; the move may be done or not.
        Permanent: it refuses, or is not as the plan has it.
    """
    sites = _sites(plan)
    if not to.keys() <= set(sites) or min(to.values(), default=-1) < 0 or sum(to.values()) != 100:
        allowed = f"percentages of {', '.join(sites)} that sum to 100"
        raise Refused("users cannot be moved so", str(dict(to)), allowed)
    _mover(plan).move(plan, {site: to.get(site, 0) for site in sites})


def settle_s(plan: Plan) -> float:
    """For how many seconds after a move some users may still go where they went before."""
    return route53.settle_s(plan) if plan.service.endpoint.driver == "route53" else 0.0


def _mover(plan: Plan) -> _Mover:
    return _MOVERS[plan.service.endpoint.driver]


def _sites(plan: Plan) -> list[str]:
    return [name for name, site in plan.sites.items() if site.running("gateway")]
