"""Look at the active primary from another region, so that a loss can be bounded when it is gone."""

from contextlib import suppress
from datetime import UTC, datetime

from tasks.clients import patroni, postgres, slots
from tasks.clients.observation import last_observation, write_observation
from tasks.clients.truth import active_site
from tasks.errors import Transient
from tasks.facts.recovery import Observation
from tasks.plan.plan import Plan
from tasks.policy.recovery import peak_rate


def observe(plan: Plan) -> Observation:
    """Write down where the active primary stands, and see that who should stream from it can.

    Raises:
        Transient: the primary or etcd does not answer; the last observation stays.
    """
    site = active_site(plan)
    at = datetime.now(UTC)
    node = patroni.leader(plan, site)
    position = postgres.position(plan, node.host, timeout=2)
    known = last_observation(plan, site)
    before = Observation.model_validate_json(known) if known else None
    seen = Observation(
        site=site,
        at=at,
        lsn=position.lsn,
        next_xid=position.next_xid,
        last_commit=position.last_commit,
        peak_rate=peak_rate(before, at, position.next_xid),
    )
    write_observation(plan, site, seen.model_dump_json())
    _keep_slots(plan, site)
    return seen


def _keep_slots(plan: Plan, active: str) -> None:
    """A standby leader whose slot is taken does not stream; one that holds all WAL fills its disk."""
    for site in plan.sites:
        if site != active and plan.sites[site].running("postgres"):
            with suppress(Transient):
                slots.free(plan, site, active)
                slots.move_on(plan, site)
