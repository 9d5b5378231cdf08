"""Open an incident: decide who takes over, take the epoch, write down what is known.

Source: the seed's "Disaster Declaration Process".
"""

import secrets
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import journal, postgres
from tasks.clients.observation import last_observation
from tasks.clients.truth import claim, read_truth
from tasks.errors import DrError, Refused
from tasks.facts.recovery import Assessment, Incident, Observation, Promotion, StepRecord
from tasks.plan.plan import Plan
from tasks.policy.recovery import choose_target
from tasks.retry import retried
from tasks.step import step

_COLD = "recover from backups: `dr run recover_cold --param incident=ID`"


@retried("declare", times=5, delay=0.5)
def declare(
    plan: Plan, reason: str, to_site: str | None, incident: str | None, detected_at: datetime | None
) -> Incident:
    """Open an incident, or take up the one of the given id.

    Raises:
        Refused: another incident is open, the target cannot take over, or the id is unknown.
        Transient: etcd has no quorum.
    """
    known = journal.read(plan, incident, "incident.json") if incident else None
    if known:
        return Incident.model_validate_json(known).model_copy(update={"resumed": True})
    truth, _ = read_truth(plan)
    now = datetime.now(UTC)
    name = incident or f"inc-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    if truth.incident == name:  # claimed, then killed before it was written down
        failed, target = truth.previous, truth.active
    else:
        failed = truth.active
        target = choose_target({site: plan.sites[site].role for site in plan.sites}, failed, to_site)
    mine = claim(plan, name, target)
    opened = Incident(
        id=name,
        service=plan.service.name,
        failed_site=failed,
        to_site=target,
        epoch=mine.epoch,
        reason=reason,
        detected_at=detected_at or now,
        triggered_at=now,
    )
    journal.write(plan, failed, name, "incident.json", opened.model_dump_json())
    return opened


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
        raise Refused(f"{incident.to_site} has no PostgreSQL node that answers", hint=_COLD)
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
    """An incident whose promotion is done, and that promotion; the latest where no id is given.

    Raises:
        Refused: there is none, or its promotion is not done.
        Transient: no store answers.
    """
    known = journal.incidents(plan)
    name = incident or (known[-1] if known else "")
    text = journal.read(plan, name, "incident.json") if name else None
    if text is None:
        raise Refused("no such incident", name or "none is on record")
    records = [StepRecord.model_validate_json(r) for r in journal.read_all(plan, name, "steps/")]
    done = [r.result for r in records if r.name == "promote PostgreSQL" and r.result]
    if not done:
        raise Refused(f"{name} promoted nothing yet", hint="resume it first")
    found = Incident.model_validate_json(text).model_copy(update={"resumed": True})
    return found, Promotion.model_validate(done[0])
