"""Fail over to the hot standby site. Source: the seed's "Disaster Recovery Procedures"."""

from datetime import datetime

from prefect import flow
from prefect.futures import wait

from flows.activate import activate_first, activate_rest
from flows.fence_site import fence_site
from tasks.abort import given_up_if_alive
from tasks.close import close_incident
from tasks.continuity import switch_continuity, tell_owners
from tasks.course import followed
from tasks.current import current_plan
from tasks.declare import assess, declare
from tasks.facts.report import Report
from tasks.fence import fence
from tasks.notify import notify, telling_failure
from tasks.policy.order import foretold
from tasks.promote import promote_postgresql, promote_redis
from tasks.redirect import redirect_traffic, smoke_before_traffic
from tasks.replay import replay_archived_wal, see_archives
from tasks.report import write_report
from tasks.validate import validate_public, validate_servers

_STEPS = (
    assess,
    fence,
    promote_redis,
    replay_archived_wal,
    promote_postgresql,
    smoke_before_traffic,
    redirect_traffic,
    validate_public,
    validate_servers,
)


@flow(persist_result=False)
def fail_over(  # noqa: PLR0913 -- what a declarer may say
    reason: str = "",
    to_site: str | None = None,
    incident: str | None = None,
    detected_at: datetime | None = None,
    force: bool = False,
    override_fence: str = "",
) -> Report:
    """Move the service to the surviving site, with proof that the old one takes no more writes.

    Args:
        reason: why, in your words; it stands in the report.
        to_site: the site that takes over; the hot standby where empty.
        incident: an incident to resume; a new one where empty.
        detected_at: when the disaster was detected; now where empty.
        force: go on although the old primary still takes writes.
        override_fence: a commander's statement, with their name and the failed site's, by which the recovery
            goes on where nothing proves that a site with a DCS of its own takes no writes.
    """
    plan = current_plan()
    case = declare(plan, reason, to_site, incident, detected_at)
    declared = notify.submit(plan, case, "declared")
    with telling_failure(plan, case), followed(case, *_STEPS, also=foretold(plan.turns, plan.service.name)):
        silent = see_archives.submit(plan)
        with given_up_if_alive(plan, case):
            assessment = assess(plan, case, force=force or bool(override_fence))
        owners = tell_owners.submit(plan, case, "declared")
        switched = [switch_continuity.submit(plan, case, "declared")]

        fenced = fence_site(plan, case, override_fence)
        redis = promote_redis.submit(plan, case)
        replay = replay_archived_wal(plan, case, assessment, silent.result())
        promotion = promote_postgresql(plan, case, replay)
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
    declared.wait()
    owners.wait()
    owners = tell_owners.submit(plan, case, "recovered")
    notify(plan, case, "recovered")
    owners.wait()
    report = write_report(plan, case, assessment, fenced, promotion, validation, replay=replay)
    close_incident(plan, case)
    return report
