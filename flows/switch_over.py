"""Move the service to the other site, losing nothing. Source: the seed's "Disaster Recovery Sites"."""

from prefect import flow
from prefect.futures import wait

from flows.activate import activate_first, activate_rest, stand_down
from tasks.close import close_incident
from tasks.continuity import switch_continuity
from tasks.course import followed
from tasks.current import current_plan
from tasks.declare import declare_move
from tasks.facts.report import Report
from tasks.hand_over import hand_over_postgresql, hand_over_redis
from tasks.move_view import require_ready
from tasks.nearest import bring_last_wal
from tasks.policy.order import foretold
from tasks.promote import promote_postgresql
from tasks.redirect import redirect_traffic, smoke_before_traffic
from tasks.rejoin import rejoin
from tasks.report import write_move_report
from tasks.this_run import own_incident
from tasks.validate import validate_public, validate_servers

_STEPS = (
    hand_over_postgresql,
    hand_over_redis,
    promote_postgresql,
    smoke_before_traffic,
    redirect_traffic,
    validate_public,
    validate_servers,
    rejoin,
    bring_last_wal,
)


@flow(persist_result=False)
def switch_over(reason: str = "", to_site: str | None = None, incident: str | None = None) -> Report:
    """Move the service between two sites that are both well; writes pause for some seconds.

    Args:
        reason: why, in your words; it stands in the report.
        to_site: the site that takes over; the other one with a database where empty.
        incident: a move to resume; a new one where empty.
    """
    plan = current_plan()
    name = incident or own_incident()
    require_ready(plan, to_site, name)
    case = declare_move(plan, reason, to_site, name)

    with followed(case, *_STEPS, also=foretold(plan.turns, plan.service.name)):
        switched = [switch_continuity.submit(plan, case, "declared")]
        handover = hand_over_postgresql(plan, case)
        redis = hand_over_redis.submit(plan, case)
        promotion = promote_postgresql(plan, case)
        redis.result()

        switched.append(switch_continuity.submit(plan, case, "promoted"))
        failed = activate_first(plan, case)
        smoke_before_traffic(plan, case)
        redirect_traffic(plan, case)

        validation = validate_public(plan, case)
        validate_servers(plan, case)
        activate_rest(plan, case, failed)
        wait(switched)
        switch_continuity(plan, case, "recovered")
        rejoin(plan, case)
        bring_last_wal(plan, case)
        stand_down(plan, case)
    report = write_move_report(plan, case, handover, promotion, validation)
    close_incident(plan, case)
    return report
