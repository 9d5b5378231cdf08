"""Validate a recovery as the users see it. Source: the seed's "Recovery Validation", smoke tests."""

import time
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import patroni, postgres, redis_site, service, traffic
from tasks.errors import Permanent, Transient
from tasks.facts.incident import Incident
from tasks.facts.recovery import Validation
from tasks.facts.validation import CheckResult, Subject
from tasks.plan.plan import Plan
from tasks.step import step
from tasks.suites import examine, own_checks

_PATIENCE_S = 20
_POLL_S = 0.1


@step("validate through the public endpoint")
def validate_public(plan: Plan, incident: Incident) -> Validation:
    """Place an order through the public endpoint and read it back; the new site must have taken it.

    Raises:
        Permanent: users are not served, or by another site.
    """
    return _served(plan, incident.to_site)


@step("validate the site's servers")
def validate_servers(plan: Plan, incident: Incident) -> Validation:
    """Write to the database's leader and ask Redis for its role.

    Raises:
        Permanent: one is not what it should be.
        Transient: one does not answer.
    """
    return _led(plan, incident.to_site, incident.id)


@task(name="validate: smoke tests", cache_policy=NO_CACHE)
def validate_smoke(plan: Plan, subject: Subject) -> tuple[CheckResult, ...]:
    """Both of these, and the plan's own smoke checks, each as a result."""
    note = subject.incident or "no incident"
    jobs = {
        "an order through the public endpoint": lambda: _seen(_served(plan, subject.site)),
        "the roles of the servers": lambda: _seen(_led(plan, subject.site, note)),
        **own_checks(plan, subject.site, "smoke"),
    }
    return examine("smoke", jobs, plan.validation.deadline.total_seconds())


def _served(plan: Plan, site: str) -> Validation:
    url = plan.service.endpoint.url
    # Resolvers may keep the answer of before for a while: until then, the old site is no failure yet.
    settled = time.monotonic() + traffic.settle_s(plan)
    deadline = settled + _PATIENCE_S
    while True:
        try:
            served_by = service.round_trip(plan, url)
            if served_by == site or time.monotonic() >= settled:
                break
        except Transient as error:
            if time.monotonic() > deadline:
                raise Permanent("users are not served", str(error)) from error
        time.sleep(_POLL_S)
    first_served = datetime.now(UTC)
    if served_by != site:
        raise Permanent(f"users are served by {served_by}", f"they should be served by {site}")
    return Validation(site=site, first_served=first_served, checks=(f"an order through {url}",))


def _led(plan: Plan, site: str, note: str) -> Validation:
    node = patroni.leader(plan, site)
    written = postgres.prove_write(plan, node.host, f"{note} validation")
    checks = (f"a write on {node.name}", redis_site.require_serving(plan, site))
    return Validation(site=site, first_served=written, checks=checks)


def _seen(validation: Validation) -> str:
    return ", ".join(validation.checks)
