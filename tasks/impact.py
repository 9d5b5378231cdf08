"""Raise an alarm and assess it. Source: the seed's "Disaster Declaration Process"."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prefect.artifacts import create_markdown_artifact

from tasks.clients import journal, patroni, postgres, redis_site, service
from tasks.clients.moment import require_zone
from tasks.clients.objects import Bucket
from tasks.clients.parallel import ask_all
from tasks.clients.truth import active_site, read_truth
from tasks.errors import DrError, Refused, Transient
from tasks.facts.incident import Incident
from tasks.facts.response import Alarm, Component, Decision, Impact, Source
from tasks.plan.plan import Plan
from tasks.policy.order import waves
from tasks.policy.recovery import choose_target
from tasks.policy.response import recommend
from tasks.policy.response_words import impact_page
from tasks.retry import retried
from tasks.strategies import strategies
from tasks.this_run import own_incident

_ALL_S = 6
_HOW = "\n\nTo answer, open the flow run of this page; in its menu, at the top right, choose Resume."


@retried("raise the alarm", times=5, delay=0.5)
def raise_alarm(  # noqa: PLR0913 -- what whoever raises it may say
    plan: Plan,
    site: str | None,
    reason: str,
    source: Source,
    evidence: str,
    detected_at: datetime | None,
    incident: str | None,
) -> Alarm:
    """Write down that a site is said to be lost; once more for the same incident is no change.

    Raises:
        Refused: the site is not the active one: losing it moves nothing; or `detected_at` has no time zone.
        Transient: etcd has no quorum, or no store takes the record.
    """
    require_zone(detected_at)
    name = incident or own_incident()
    known = journal.read(plan, name, "alarm.json")
    if known:
        return Alarm.model_validate_json(known)
    active = active_site(plan)
    if site not in {None, active}:
        raise Refused(f"{site} is not the active site", f"{active} is", "nothing has to move")
    now = datetime.now(UTC)
    alarm = Alarm(
        incident=name,
        site=active,
        reason=reason,
        source=source,
        evidence=evidence,
        detected_at=detected_at or now,
        raised_at=now,
    )
    journal.write(plan, active, name, "alarm.json", alarm.model_dump_json())
    return alarm


def case_of(plan: Plan, alarm: Alarm) -> Incident:
    """The incident that an alarm may become, for whoever is told of it."""
    roles = {site: plan.sites[site].role for site in plan.sites}
    return Incident(
        id=alarm.incident,
        service=plan.service.name,
        failed_site=alarm.site,
        to_site=choose_target(roles, alarm.site, None),
        epoch=0,
        reason=alarm.reason,
        detected_at=alarm.detected_at,
        triggered_at=alarm.raised_at,
    )


@retried("assess the alarm", times=2, delay=1)
def assess_alarm(plan: Plan, alarm: Alarm, decision: Decision | None) -> Impact:
    """See what of the site is lost, and what each way to recover would cost now.

    Args:
        plan: the plan.
        alarm: the alarm.
        decision: what is decided already; None where commanders will be asked.

    Raises:
        Transient: etcd has no quorum, or no store takes the record.
    """
    answers = ask_all(_looks(plan, alarm.site), _ALL_S)
    served = ask_all({"users": partial(service.round_trip, plan, plan.service.endpoint.url)}, _ALL_S)["users"]
    ways = strategies(plan, alarm)
    recommended, why = recommend(ways, plan.tier)
    impact = Impact(
        alarm=alarm,
        at=datetime.now(UTC),
        active=active_site(plan),
        components=tuple(_component(name, answer) for name, answer in answers.items()),
        users_served=not isinstance(served, DrError),
        strategies=ways,
        recommended=recommended,
        why=why,
    )
    journal.write(plan, alarm.site, alarm.incident, "impact.json", impact.model_dump_json(indent=2))
    create_markdown_artifact(
        key=f"assessment-{alarm.incident.lower()}",
        markdown=page(plan, impact, decision) + ("" if decision else _HOW),
        description=f"is {alarm.site} lost?",
    )
    return impact


@retried("choose the way", times=5, delay=0.5)
def goes_cold(plan: Plan, impact: Impact) -> bool:
    """Whether the service is recovered from backups: as it has begun, else as it is recommended.

    What a recovery has restored looks like a standby that could take over to whoever assesses it again.

    Raises:
        Transient: etcd has no quorum.
    """
    truth, _ = read_truth(plan)
    if truth.incident == impact.alarm.incident:
        return truth.kind == "cold"
    return impact.recommended is not None and impact.recommended.kind == "cold standby"


def page(plan: Plan, impact: Impact, decision: Decision | None = None) -> str:
    """The assessment in words."""
    order = waves(plan.turns)
    return impact_page(impact, plan.service.name, plan.service.tier, plan.declaration, decision, order)


def _looks(plan: Plan, site: str) -> dict[str, Callable[[], Any]]:
    """One look at each part of a site; what it returns is shown."""
    gateway = plan.sites[site].gateway
    further = {
        f"service {name}": partial(_service, gateway, each.public_health)
        for name, each in plan.services.items()
    }
    return {
        "service": partial(_service, gateway, plan.high_availability.failover.quickest.endpoint),
        **further,
        "PostgreSQL": partial(_leader, plan, site),
        "Redis": partial(redis_site.require_serving, plan, site),
        "storage": lambda: _storage(plan, site),
    }


def _service(gateway: str, path: str) -> str:
    if not service.healthy(gateway, path):
        raise Refused("it does not call itself healthy", gateway)
    return "healthy"


def _leader(plan: Plan, site: str) -> str:
    node = patroni.leader(plan, site)
    position = postgres.position(plan, node.host, timeout=2)
    return f"{node.name} {'follows' if position.in_recovery else 'leads'} at {position.lsn}"


def _storage(plan: Plan, site: str) -> str:
    Bucket.readable(plan, site, 3).children("")
    return "answers"


def _component(name: str, answer: Any) -> Component:
    if isinstance(answer, Transient):
        return Component(name=name, state="no answer", detail=answer.message)
    if isinstance(answer, DrError):
        return Component(name=name, state="wrong", detail=answer.message)
    return Component(name=name, state="well", detail=str(answer))
