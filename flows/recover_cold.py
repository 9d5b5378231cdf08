"""Recover from backups, where no standby is left. Source: the seed's "Cold Standby Site"."""

from datetime import datetime
from pathlib import Path

from prefect import flow
from prefect.futures import wait

from flows.activate import activate_first, activate_rest
from flows.fence_site import fence_site
from tasks.abort import given_up_if_alive
from tasks.assess_cold import assess_copies
from tasks.close import close_incident
from tasks.continuity import switch_continuity, tell_owners
from tasks.course import followed
from tasks.current import current_plan
from tasks.declare import declare
from tasks.facts.cold import ColdAssessment, Returned
from tasks.facts.incident import Incident
from tasks.facts.report import Report
from tasks.fence import fence
from tasks.files import find_snapshot, restore_snapshot
from tasks.gone import (
    gone_files,
    gone_repositories,
    gone_secrets,
    place_files,
    place_secrets,
    restore_redis,
    tell_returned,
)
from tasks.notify import notify, telling_failure
from tasks.plan.plan import Plan
from tasks.policy.cold import told
from tasks.policy.order import foretold
from tasks.promote import promote_redis
from tasks.provision import activate_infrastructure, host_at_hand
from tasks.redirect import redirect_traffic, smoke_before_traffic
from tasks.report import complete_restored, write_report
from tasks.restore_cold import aimed, recover, restore_files, swap_in
from tasks.restore_configuration import choose_point, restore_point
from tasks.secrets_backup import restore_secret
from tasks.start_restored import archive_again, check_tables, follow, start_leader
from tasks.validate import validate_public, validate_servers

_STEPS = (
    assess_copies,
    activate_infrastructure,
    restore_files,
    fence,
    recover,
    swap_in,
    start_leader,
    promote_redis,
    restore_redis,
    tell_returned,
    smoke_before_traffic,
    redirect_traffic,
    validate_public,
    validate_servers,
)


@flow(persist_result=False)
def recover_cold(  # noqa: PLR0913 -- what a declarer may say
    reason: str = "",
    to_site: str | None = None,
    target_time: datetime | None = None,
    incident: str | None = None,
    detected_at: datetime | None = None,
    force: bool = False,
    override_fence: str = "",
) -> Report:
    """Restore the service at another site from the copy of the backups that is left there, or in the archive.

    Args:
        reason: why, in your words; it stands in the report.
        to_site: the site that takes over; the standby site where empty.
        target_time: the moment to recover to; where empty, that of the run that is resumed, or the newest
            that the copy gives. Another than that run's is refused once the database is in place.
        incident: an incident to resume; a new one where empty.
        detected_at: when the disaster was detected; now where empty.
        force: go on although the old primary takes writes, or a standby could take over.
        override_fence: as of `fail_over`.
    """
    plan = current_plan()
    case = declare(plan, reason, to_site, incident, detected_at, "cold")
    declared = notify.submit(plan, case, "declared")
    with telling_failure(plan, case), followed(case, *_STEPS, also=foretold(plan.turns, plan.service.name)):
        insisted = force or bool(override_fence)
        with given_up_if_alive(plan, case):
            assessment = assess_copies(plan, case, target=target_time, force=insisted)
        assessment = aimed(plan, case, assessment, target_time)

        owners = tell_owners.submit(plan, case, "declared")
        switched = [switch_continuity.submit(plan, case, "declared")]
        activated = activate_infrastructure.submit(plan, case)
        ready = host_at_hand(plan, case) or activated.result()
        files = restore_files.submit(plan, case, assessment, ready)
        fenced = fence_site(plan, case, override_fence)
        infrastructure = activated.result()
        files.result()
        recovered = recover(plan, case, assessment, ready)

        swapped = swap_in(plan, case, ready, recovered)
        promotion = start_leader(plan, case, swapped, recovered)
        promote_redis(plan, case)
        redis = restore_redis(plan, case, assessment)
        switched.append(switch_continuity.submit(plan, case, "promoted"))
        returned = _restore_others(plan, case, assessment, redis)

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

    summary = told(assessment, infrastructure, files.result(), recovered, swapped, returned)
    report = write_report(plan, case, assessment, fenced, promotion, validation, summary)
    follow(plan, case)
    archive_again(plan, case)
    checked = check_tables(plan, case)
    report = complete_restored(plan, case, report, checked.method)
    close_incident(plan, case)
    return report


def _restore_others(plan: Plan, case: Incident, assessment: ColdAssessment, redis: Returned) -> Returned:
    """Restore the files, configuration and secrets that are gone; what the site has of its own stays."""
    restored = list(redis.restored)
    for gone in gone_files(plan, case):
        if not gone.restored:
            point = find_snapshot(plan, gone.asset, None, assessment.target, None)
            restore_snapshot(plan, point, Path(gone.beside), None, gone.host)
        restored.append(place_files(plan, case, gone))
    for name, place in gone_repositories(plan).items():
        chosen = choose_point(plan, name, assessment.source, None, None)
        restored.append(f"configuration/{name}: {restore_point(plan, name, chosen, place)}")
    secrets, beside = gone_secrets(plan, case)
    if secrets:
        restore_secret(plan, assessment.source, "secrets/plan", None, None, beside)
        restored.append(place_secrets(plan, secrets, beside))
    return tell_returned(plan, case, tuple(restored))
