"""Fence the old primary: the truth is written first, then consensus proves that it is believed.

A primary that is cut off cannot renew its leader key and demotes itself; one that is dead loses the key
when its lease ends. Then the fence takes the key, so that neither returns as a primary, whatever it still
believes. One that lives and is reached says itself that it leads a standby cluster.
"""

import time
from datetime import UTC, datetime

from tasks.clients import patroni
from tasks.clients.demotion import demoted_node
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import Permanent
from tasks.facts.recovery import Fence, Incident
from tasks.plan.plan import Plan
from tasks.step import step

_POLL_S = 0.1


@step("fence the old primary")
def fence(plan: Plan, incident: Incident) -> Fence:
    """Make the old site a standby cluster in etcd and wait for the proof that it takes no writes.

    Raises:
        Transient: etcd has no quorum.
        Permanent: the old primary holds its leader key beyond its time to live.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    patroni.hold_as_standby(plan, incident.failed_site)
    proof = _wait_for_proof(plan, incident.failed_site)
    return Fence(proven_at=datetime.now(UTC), proof=proof)


def _wait_for_proof(plan: Plan, site: str) -> str:
    patience_s = plan.patroni_timings.ttl + 2 * plan.patroni_timings.loop_wait + 10
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if patroni.seize_leader_key(plan, site):
            return "its leader key ran out in etcd, and the fence holds it"
        if holder := demoted_node(plan, site):
            return f"{holder} holds the key as a standby leader and refuses writes"
        time.sleep(_POLL_S)
    raise Permanent(
        f"the old primary of {site} is not fenced",
        f"its leader key is still held after {patience_s} s",
        "stop its PostgreSQL nodes by hand, then resume the incident",
    )
