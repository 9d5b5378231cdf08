"""Hand the writes of a planned move over: the old primary stops cleanly, and nothing it wrote is missing."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tasks.clients import cache, patroni, postgres
from tasks.clients.demotion import demoted_node
from tasks.clients.promotion import may_be_promoted
from tasks.clients.truth import Truth, abandon, require_epoch
from tasks.clients.walnames import parse_lsn
from tasks.errors import Permanent, Transient
from tasks.facts.incident import Incident
from tasks.facts.move import Handover
from tasks.facts.recovery import RedisPromotion
from tasks.plan.plan import Plan
from tasks.step import first_result, step

_POSTGRESQL, _REDIS = "hand over PostgreSQL", "hand over Redis"
_PATIENCE_S = 30
_POLL_S = 0.05


@step(_POSTGRESQL)
def hand_over_postgresql(plan: Plan, incident: Incident) -> Handover:
    """Make the old primary a standby of the other site, which then has every byte of its WAL.

    A clean stop ends only when each standby that streams has received all of it, and its last record says
    that it was one: nobody needs to wait until the old primary has started again as a standby. If neither
    that nor this can be seen in time, the old primary takes writes again and the move is abandoned. Once the
    other site is promoted neither is done: the old one may be gone by then, and what was proven stands.

    Raises:
        Transient: a leader or etcd does not answer.
        Permanent: the move was abandoned; or nothing is proven, and the other site may take writes.
        Refused: this run is stale.
    """
    mine = Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id)
    require_epoch(plan, mine)
    if proven := _proven_before(plan, incident, _POSTGRESQL):
        return Handover.model_validate(proven)
    source, target = incident.failed_site, incident.to_site
    # Of a run that was killed since: a time that is not too late in any case, and a position not known.
    told_at, written = incident.triggered_at, None
    if not patroni.read_config(plan, source).get("standby_cluster"):
        leader = patroni.leader(plan, source).host
        postgres.checkpoint(plan, leader)
        written = postgres.position(plan, leader).lsn
        require_epoch(plan, mine)  # the checkpoint may have taken long
        told_at = datetime.now(UTC)
        patroni.demote(plan, source, target)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(Transient):
            if handed := _stopped(plan, source, target, told_at, written):
                return handed
            if handed := _follows(plan, source, target, told_at):
                return handed
        time.sleep(_POLL_S)
    _undo(plan, incident, mine)
    raise Permanent(
        f"{source} was not handed over within {_PATIENCE_S} s",
        f"it takes writes again; {incident.id} is abandoned",
        "look at the replication between the sites, then begin a new move",
    )


@step(_REDIS)
def hand_over_redis(plan: Plan, incident: Incident) -> RedisPromotion:
    """Make the other site's Redis the master, once it has every write of the old one.

    Raises:
        Transient: a server does not answer, or does not catch up.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    if proven := _proven_before(plan, incident, _REDIS):
        return RedisPromotion.model_validate(proven)
    return RedisPromotion(master=cache.hand_over(plan, incident.failed_site, incident.to_site))


def _proven_before(plan: Plan, incident: Incident, title: str) -> dict[str, Any] | None:
    """What an earlier run's step found, where the other site may have been promoted since."""
    if not incident.resumed:
        return None
    promoted = first_result(plan, incident, "promote PostgreSQL") or may_be_promoted(plan, incident.to_site)
    return first_result(plan, incident, title) if promoted else None


def _undo(plan: Plan, incident: Incident, mine: Truth) -> None:
    """Let the old site take writes again, unless the other one may: nothing is proven then, and both would.

    Raises:
        Transient: it cannot be told, or the old site's leader does not answer.
        Permanent: the other one may take writes.
        Refused: this run is stale.
    """
    require_epoch(plan, mine)
    if may_be_promoted(plan, incident.to_site):
        raise Permanent(
            f"{incident.to_site} may take writes already: {incident.failed_site} is not promoted again",
            hint=f"when {incident.failed_site} answers, `dr incident resume {incident.id}`",
        )
    patroni.promote(plan, incident.failed_site)
    abandon(plan, mine)


def _stopped(plan: Plan, source: str, target: str, told_at: datetime, written: str | None) -> Handover | None:
    """As the other site's WAL tells, where it ends with the clean stop of the old primary."""
    node = patroni.lock_holder(plan, source)
    if written is None or node is None or not patroni.has_stopped(plan, source, node):
        return None
    end = postgres.clean_end(plan, patroni.leader(plan, target).host)
    if end is None or parse_lsn(end) <= parse_lsn(written):
        return None
    return Handover(node=node, told_at=told_at, final_lsn=end, received_lsn=end)


def _follows(plan: Plan, source: str, target: str, told_at: datetime) -> Handover | None:
    """As the old primary tells, once it answers as a standby."""
    node = demoted_node(plan, source)
    if node is None:
        return None
    final = postgres.position(plan, str(plan.sites[source].hosts[node].address)).lsn
    received = postgres.position(plan, patroni.leader(plan, target).host).lsn
    if parse_lsn(received) < parse_lsn(final):
        return None
    return Handover(node=node, told_at=told_at, final_lsn=final, received_lsn=received)
