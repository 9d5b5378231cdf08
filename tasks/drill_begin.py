"""Fix what a drill tries, and what must hold, before anything is done.

Source: the seed's "Testing Procedures"; DORA RTS Art. 25 and NIST SP 800-34 on test plans.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.artifacts import create_markdown_artifact

from tasks.clients import drill_ground, records
from tasks.clients.truth import open_incident
from tasks.drill_evidence import FOLDER
from tasks.errors import Refused
from tasks.facts.drill import Consent, Drill, Kind
from tasks.plan.plan import Plan
from tasks.policy.drill import blacked_out, copies_of, digest_of
from tasks.policy.drill_terms import TERMS
from tasks.policy.drill_words import copies_words, drill_markdown
from tasks.policy.exercise import stakeholders
from tasks.policy.tables import moment
from tasks.retry import retried


@retried("fix what the drill will show")
def begin_drill(plan: Plan, reason: str, assets: Sequence[str] | None, sites: Sequence[str] | None) -> Drill:
    """Write down which copies are restored, and the criteria.

    Raises:
        Refused: an incident is open, no drill is held today, the plan has no such asset or site, or leaves
            the asset out.
        Transient: no store takes it, or etcd has no quorum.
    """
    for site in sites or ():
        if site not in plan.sites:
            raise Refused(f"there is no site {site}", f"the plan's sites: {', '.join(plan.sites)}")
    copies = copies_of(plan, assets, sites)
    planned = plan.dr_testing.backup_restoration
    return _fixed(
        plan,
        "backup_restoration",
        reason,
        approved_by=f"the plan, which allows it at any time; {reason}",
        planned=(planned.scope, planned.validation),
        copies=copies,
        scope=copies_words(copies),
        excluded=dict(plan.drills.exclusions),
    )


@retried("fix what the move will show")
def begin_move(plan: Plan, reason: str, consent: Consent) -> Drill:
    """Write down that the service is moved and brought home, who allowed it, and the criteria.

    Raises:
        Refused: an incident is open, or no drill is held today.
        Transient: no store takes it, or etcd has no quorum.
    """
    planned = plan.dr_testing.full_failover
    if planned is None:
        raise Refused("the plan has no such drill", "dr_testing.full_failover", "add it to the plan")
    return _fixed(
        plan,
        "full_failover",
        reason,
        approved_by=consent.commander,
        planned=(planned.scope, planned.validation),
        scope=(f"{plan.service.name} with all that it needs", *plan.services),
        more=_accepted(consent),
        within=planned.duration,
    )


@retried("fix what the exercise will show")
def begin_exercise(plan: Plan, reason: str, consent: Consent, absent: str) -> Drill:
    """Write down that the whole scenario is played, who takes part and who does not, and the criteria.

    Raises:
        Refused: an incident is open, no drill is held today, nobody has such a name, or it is the commander
            who allowed it.
        Transient: no store takes it, or etcd has no quorum.
    """
    if absent and (absent not in stakeholders(plan, "") or absent == consent.commander):
        hint = f"one of {', '.join(stakeholders(plan, consent.commander))}"
        raise Refused(f"{absent} cannot be the one who is absent", hint=hint)
    planned = plan.dr_testing.full_dr_exercise
    people = stakeholders(plan, absent)
    return _fixed(
        plan,
        "full_dr_exercise",
        reason,
        approved_by=consent.commander,
        planned=(planned.scope, planned.validation),
        scope=(plan.service.name, *plan.services, *plan.business_impact),
        excluded={absent: "absent, to see whether the others can do without"} if absent else {},
        more=_accepted(consent),
        people={"stakeholders": f"{', '.join(people)} ({planned.stakeholders})"},
    )


@retried("fix what the activation will show")
def begin_activation(plan: Plan, reason: str) -> Drill:
    """Write down that the service is started apart, and the criteria.

    Raises:
        Refused: an incident is open, or no drill is held today.
        Transient: no store takes it, or etcd has no quorum.
    """
    planned = plan.dr_testing.failover_testing
    return _fixed(
        plan,
        "failover_testing",
        reason,
        approved_by=f"the plan, which allows it at any time; {reason}",
        planned=(planned.scope, planned.validation),
        scope=(f"{plan.service.name} on a clone of a standby",),
        within=planned.duration,
    )


def require_drills(plan: Plan) -> None:
    """See that a drill may be held now at all.

    Raises:
        Refused: an incident is open, or the plan holds none today.
        Transient: etcd has no quorum.
    """
    if incident := open_incident(plan):
        raise Refused("no drill begins while an incident is open", incident, "close it first")
    if why := blacked_out(plan.drills.blackouts, datetime.now(UTC).date()):
        raise Refused("no drill is held today", why, "see the plan's `drills.blackouts`")


def _accepted(consent: Consent) -> tuple[str, ...]:
    return (f"known, and accepted by {consent.commander}: {consent.risk}",) if consent.risk else ()


def _fixed(  # noqa: PLR0913 -- what is fixed
    plan: Plan,
    kind: Kind,
    reason: str,
    *,
    approved_by: str,
    planned: tuple[str, str],
    scope: tuple[str, ...],
    copies: tuple[tuple[str, str], ...] = (),
    excluded: dict[str, str] | None = None,
    more: tuple[str, ...] = (),
    within: timedelta | None = None,
    people: dict[str, str] | None = None,
) -> Drill:
    require_drills(plan)
    terms, now = TERMS[kind], datetime.now(UTC)
    drill = Drill(
        id=f"{drill_ground.PREFIX}{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        kind=kind,
        reason=reason,
        began=now,
        environment=f"{plan.service.name}, {plan.service.tier} tier; {terms.environment}",
        plan_digest=digest_of(plan),
        scenario=f"{terms.scenario} ({planned[0]})",
        scope=scope,
        copies=copies,
        excluded=excluded or {},
        assumptions=(*terms.assumptions, *more),
        criteria=(*terms.criteria, planned[1]),
        participants={
            "owner of findings": plan.drills.owner or plan.declaration.commanders[0],
            "approved by": approved_by,
            **(people or {}),
        },
        rto_s=plan.tier.rto.total_seconds(),
        rpo_s=plan.tier.rpo.total_seconds(),
        ends=now + within if within else None,
    )
    records.write(plan, f"{FOLDER}/{drill.id}/drill.json", drill.model_dump_json())
    create_markdown_artifact(key=drill.id.lower(), markdown=drill_markdown(drill), description=moment(now))
    return drill
