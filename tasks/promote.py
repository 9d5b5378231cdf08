"""Promote the site that takes over: PostgreSQL by Patroni, Redis by our order; a write is the proof."""

import time
from datetime import datetime

from tasks.clients import patroni, postgres, redis_site, timelines
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Permanent
from tasks.facts.incident import Incident
from tasks.facts.recovery import Promotion, RedisPromotion
from tasks.facts.replay import Stood
from tasks.plan.plan import Plan
from tasks.step import step

_POLL_S = 0.05


@step("promote PostgreSQL")
def promote_postgresql(plan: Plan, incident: Incident, stood: Stood | None = None) -> Promotion:
    """Make the standby cluster the primary and prove it with a write.

    Args:
        plan: the plan.
        incident: where from and where to.
        stood: where the standby stood last; a site that an earlier run promoted tells that no more.

    Raises:
        Transient: the standby leader does not answer.
        Permanent: no write succeeded within the plan's promotion timeout.
        Refused: this run is stale.
    """
    mine = Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id)
    require_epoch(plan, mine)
    node = patroni.leader(plan, incident.to_site)
    before = postgres.position(plan, node.host)
    apart = incident.kind == "failover" and patroni.has_own_dcs(plan, incident.failed_site)
    if before.in_recovery and apart:
        # It may come back as a primary, on the timeline that comes next.
        timelines.leave_out(plan, node.host, before.timeline)
    require_epoch(plan, mine)  # what came before may have taken seconds, in which it was aborted
    patroni.promote(plan, incident.to_site, node.host)
    written = _first_write(plan, node.host, incident)
    known = stood if stood and not before.in_recovery else None
    # Since an earlier run promoted it, the site may have failed over within itself.
    fork = postgres.fork(plan, node.host, known.standby_timeline if known else 0)
    return Promotion(
        node=node.name,
        address=node.host,
        first_write_at=written,
        timeline=fork.timeline,
        old_timeline=fork.parent,
        fork_lsn=fork.lsn,
        next_xid=known.standby_next_xid if known else before.next_xid,
        last_commit=known.standby_last_commit if known else before.last_commit,
    )


@step("promote Redis")
def promote_redis(plan: Plan, incident: Incident) -> RedisPromotion:
    """Make the site's Redis the master and let its Sentinels watch it; fill a cluster that holds nothing.

    Raises:
        Transient: a server of the site does not answer.
        Permanent: the point is not what was stored.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    return RedisPromotion(master=redis_site.take_over(plan, incident.to_site))


def _first_write(plan: Plan, address: str, incident: Incident) -> datetime:
    deadline = time.monotonic() + plan.postgresql_ha.failover.promotion_timeout.total_seconds()
    while True:
        try:
            return postgres.prove_write(plan, address, incident.id)
        except DrError as error:
            if time.monotonic() > deadline:
                raise Permanent(
                    f"PostgreSQL at {address} was promoted but takes no write", str(error)
                ) from error
        time.sleep(_POLL_S)
