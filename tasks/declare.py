"""Open an incident: decide who takes over, take the epoch, write down what is known.

Source: the seed's "Disaster Declaration Process".
"""

from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import fingerprints, journal, postgres
from tasks.clients.moment import require_zone
from tasks.clients.observation import last_observation
from tasks.clients.truth import Truth, claim, go_on_as, read_truth
from tasks.errors import DrError, Refused
from tasks.facts.incident import Incident, Kind, StepRecord
from tasks.facts.recovery import Assessment, Observation, Promotion
from tasks.plan.plan import Plan
from tasks.policy.recovery import choose_target
from tasks.restore_cold import is_swapping
from tasks.retry import retried
from tasks.step import step
from tasks.this_run import own_incident


@retried("declare", times=5, delay=0.5)
def declare(  # noqa: PLR0913 -- what a declarer may say
    plan: Plan,
    reason: str,
    to_site: str | None,
    incident: str | None,
    detected_at: datetime | None,
    kind: Kind = "failover",
) -> Incident:
    """Open an incident, or take up the one of the given id, or of this very flow run when it is run again.

    Raises:
        Refused: another incident is open, the target cannot take over, or `detected_at` has no time zone.
        Transient: etcd has no quorum.
    """
    require_zone(detected_at)
    return _open(
        plan, incident, to_site, reason=reason, detected_at=detected_at or datetime.now(UTC), kind=kind
    )


@retried("declare a planned move", times=5, delay=0.5)
def declare_move(plan: Plan, reason: str, to_site: str | None, incident: str) -> Incident:
    """Open a planned move, or take up the one of the given id.

    Raises:
        Refused: an incident is open, or the target cannot take over.
        Transient: etcd has no quorum.
    """
    return _open(plan, incident, to_site, reason=reason, detected_at=datetime.now(UTC), kind="switchover")


def _open(plan: Plan, incident: str | None, to_site: str | None, **told: Any) -> Incident:
    truth, _ = read_truth(plan)
    name = incident or own_incident()
    # An id of this run's own is known only if it was claimed; the failed site's store is slow to tell.
    known = journal.read(plan, name, "incident.json") if incident or truth.incident == name else None
    if known:
        case = _as_kind(plan, Incident.model_validate_json(known), told.get("kind", "failover"), truth)
        return case.model_copy(update={"resumed": True})
    if truth.incident == name:  # claimed, then killed before it was written down
        source, target = truth.previous, truth.active
    else:
        source = truth.active
        target = choose_target({site: plan.sites[site].role for site in plan.sites}, source, to_site)
    mine = claim(plan, name, target, told.get("kind", "failover"))
    opened = Incident(
        id=name,
        service=plan.service.name,
        failed_site=source,
        to_site=target,
        epoch=mine.epoch,
        triggered_at=datetime.now(UTC),
        fingerprints=fingerprints.take(plan, name, plan.validation.security.rotated_after_incident),
        **told,
    )
    journal.write(plan, source, name, "incident.json", opened.model_dump_json())
    return opened


def _as_kind(plan: Plan, case: Incident, kind: Kind, truth: Truth) -> Incident:
    """A known incident as the flow takes it up: of that flow's kind, as whoever resumes it goes by it.

    Raises:
        Refused: it cannot become one of that kind any more.
        Transient: etcd has no quorum, or no store answers.
    """
    if truth.incident != case.id or truth.done or truth.kind == case.kind == kind:
        return case
    if truth.kind != kind:
        if why := _cannot_become(plan, case, kind):
            hint = f"go on with `dr incident resume {case.id}`"
            raise Refused(f"{case.id} is a {truth.kind} and cannot become a {kind}", why, hint)
        go_on_as(plan, truth, kind)
    changed = case.model_copy(update={"kind": kind})
    journal.write(plan, case.failed_site, case.id, "incident.json", changed.model_dump_json())
    return changed


def _cannot_become(plan: Plan, case: Incident, kind: Kind) -> str:
    """Why an open incident cannot go on as one of another kind; empty where it can."""
    if kind == "switchover":
        return "a planned move begins as one"
    swapping = is_swapping(plan, case)
    if kind == "failover":
        return f"{case.to_site} has no standby any more, but what was restored" if swapping else ""
    promoted = not swapping and postgres.writable(plan, plan.sites[case.to_site].addresses("postgres"))
    return f"{case.to_site} takes writes already" if promoted else ""


@step("assess")
def assess(plan: Plan, incident: Incident, *, force: bool) -> Assessment:
    """Look at the old primary and at the site that takes over.

    Raises:
        Refused: the old primary still takes writes, and nobody insisted.
        Transient: the site that takes over does not answer.
    """
    writable = postgres.writable(plan, plan.sites[incident.failed_site].addresses("postgres"))
    if writable and not force:
        raise Refused(
            f"{incident.failed_site} is alive: its primary takes writes",
            ", ".join(writable),
            "a planned move is a switchover; to fail over all the same, run again with force",
        )
    positions = [_position(plan, address) for address in plan.sites[incident.to_site].addresses("postgres")]
    standbys = [position for position in positions if position]
    if not standbys:
        raise Refused(
            f"{incident.to_site} has no PostgreSQL node that answers",
            hint=f"recover from backups: `dr run recover-cold --param incident={incident.id}`",
        )
    furthest = max(standbys, key=lambda position: position.next_xid)
    seen = last_observation(plan, incident.failed_site)
    return Assessment(
        seen=Observation.model_validate_json(seen) if seen else None,
        old_primary_writable=bool(writable),
        standby_lsn=furthest.lsn,
        standby_next_xid=furthest.next_xid,
        standby_last_commit=furthest.last_commit,
    )


def _position(plan: Plan, address: str) -> postgres.Position | None:
    try:
        return postgres.position(plan, address)
    except DrError:
        return None


@task(name="find the incident", cache_policy=NO_CACHE)
def finished_incident(plan: Plan, incident: str | None) -> tuple[Incident, Promotion]:
    """An incident whose promotion is done, and that promotion; the latest such one where no id is given.

    Raises:
        Refused: there is none, or its promotion is not done.
        Transient: no store answers.
    """
    names = [incident] if incident else reversed(journal.incidents(plan, having="incident.json"))
    for name in names:
        text, promotion = journal.read(plan, name, "incident.json"), _promotion_of(plan, name)
        if text and promotion:
            return Incident.model_validate_json(text).model_copy(update={"resumed": True}), promotion
        if text and incident:
            raise Refused(f"{incident} promoted nothing yet", hint="resume it first")
    raise Refused("no such incident", incident or "none on record promoted anything")


def _promotion_of(plan: Plan, incident: str) -> Promotion | None:
    records = [StepRecord.model_validate_json(it) for it in journal.read_all(plan, incident, "steps/")]
    done = [it.result for it in records if it.name == "promote PostgreSQL" and it.result]
    return Promotion.model_validate(done[0]) if done else None
