"""Validate the security controls. Source: the seed's "Recovery Validation", security tests."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import fingerprints, intruder, patroni, role_grants
from tasks.clients.certificates import answers_in_clear, verified
from tasks.clients.layout import REPLICATION_ROLE, SERVICE_ROLE
from tasks.clients.listeners import listening
from tasks.clients.status_store import surviving, url_of
from tasks.errors import Permanent, Transient
from tasks.facts.validation import CheckResult, Subject
from tasks.plan.plan import Plan
from tasks.policy.exposure import (
    ENDPOINT,
    expected_ports,
    expiring,
    grant_findings,
    let_in,
    role_findings,
    scanned_ports,
    unexpected,
)
from tasks.suites import Job, examine, own_checks


@task(name="validate: security tests", cache_policy=NO_CACHE)
def validate_security(plan: Plan, subject: Subject) -> tuple[CheckResult, ...]:
    """Look at certificates, credentials, roles, rotation and open ports; not at the failed site's."""
    end = time.monotonic() + plan.validation.deadline.total_seconds()
    jobs = {
        **_stores(plan, subject),
        **_credentials(plan, subject.site),
        **_roles(plan, subject.site),
        **_rotation(plan, subject),
        **own_checks(plan, subject.site, "security"),
    }
    found = examine("security", jobs, end - time.monotonic())
    # Afterwards: thousands of connections would slow the others down.
    return *found, *examine("security", _ports(plan, subject.site), max(0.0, end - time.monotonic()))


def _stores(plan: Plan, subject: Subject) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    for site in plan.sites:
        if site != subject.failed_site:
            jobs[f"certificate of the store of {site}"] = partial(_certificate, plan, site)
            jobs[f"no plaintext at the store of {site}"] = partial(_no_plaintext, plan, site)
            jobs[f"keys at the store of {site}"] = partial(_refusing, intruder.at_store, plan, site)
    for site in surviving(plan, subject.failed_site):
        jobs[f"strangers at the status bucket of {site}"] = partial(
            _refusing, intruder.at_status_bucket, plan, site
        )
        jobs[f"readers of the status page of {site}"] = partial(_readable, plan, site)
    return jobs


def _credentials(plan: Plan, site: str) -> dict[str, Job]:
    doors = (
        ("PostgreSQL", "postgres", intruder.at_postgres),
        ("Patroni", "postgres", intruder.at_patroni),
        ("PgBouncer", "pgbouncer", intruder.at_pgbouncer),
        ("Redis", "redis", intruder.at_redis),
    )
    return {
        f"credentials of {title} on {name}": partial(_refusing, door, plan, str(host.address))
        for title, program, door in doors
        for name, host in plan.sites[site].hosts.items()
        if program in host.runs
    }


def _roles(plan: Plan, site: str) -> dict[str, Job]:
    allowed = plan.validation.security.service_grants
    return {
        "roles of the database": lambda: _judged_roles(plan, site),
        f"grants of {SERVICE_ROLE}": lambda: _judged_grants(plan, site, SERVICE_ROLE, allowed),
        # Replication copies whole clusters; to read tables it needs nothing.
        f"grants of {REPLICATION_ROLE}": lambda: _judged_grants(plan, site, REPLICATION_ROLE, {}),
    }


def _rotation(plan: Plan, subject: Subject) -> dict[str, Job]:
    names = plan.validation.security.rotated_after_incident if subject.incident else ()
    return {f"rotation of {name}": partial(_rotated, plan, subject, name) for name in names}


def _ports(plan: Plan, site: str) -> dict[str, Job]:
    addresses = {name: str(host.address) for name, host in plan.sites[site].hosts.items()}
    addresses[ENDPOINT] = str(plan.service.endpoint.address)
    expected, scanned = expected_ports(plan, site), scanned_ports(plan)
    return {
        f"open ports of {name}": partial(_only_expected, address, expected[name], [*scanned, *expected[name]])
        for name, address in addresses.items()
    }


def _certificate(plan: Plan, site: str) -> str:
    store = urlsplit(plan.sites[site].storage.endpoint)
    shown = verified(store.hostname or "", store.port or 443, plan.secret("ca_certificate"))
    _require_none(expiring(shown, datetime.now(UTC), plan.validation.security.certificates_valid_for))
    return f"trusted, valid until {shown.until:%Y-%m-%d}"


def _no_plaintext(plan: Plan, site: str) -> str:
    store = urlsplit(plan.sites[site].storage.endpoint)
    if answers_in_clear(store.hostname or "", store.port or 443):
        raise Permanent(f"the store of {site} serves plaintext", plan.sites[site].storage.endpoint)
    return "plaintext is refused"


def _refusing(door: Callable[[Plan, str], intruder.Attempts], plan: Plan, where: str) -> str:
    attempts: Mapping[str, bool] = door(plan, where)
    if accepted := let_in(attempts):
        raise Permanent("let in", ", ".join(accepted))
    return f"refused: {', '.join(attempts)}"


def _readable(plan: Plan, site: str) -> str:
    readable = intruder.reads_status_page(plan, site)
    if readable is None:
        return "none was published yet"
    if not readable:
        raise Permanent(f"the status page of {site} is closed to its readers", url_of(plan, site))
    return "anybody reads it"


def _judged_roles(plan: Plan, site: str) -> str:
    found = role_grants.roles(plan, patroni.leader(plan, site).host)
    _require_none(role_findings(found))
    return ", ".join(role.name for role in found)


def _judged_grants(plan: Plan, site: str, role: str, allowed: Mapping[str, tuple[str, ...]] | None) -> str:
    found = role_grants.grants(plan, patroni.leader(plan, site).host, role)
    _require_none(grant_findings(role, found, allowed))
    told = [f"{table}: {', '.join(privileges)}" for table, privileges in found.tables.items()]
    return "; ".join(told) or "none"


def _rotated(plan: Plan, subject: Subject, name: str) -> str:
    before = subject.fingerprints.get(name)
    if before is None:
        raise Transient(f"no fingerprint of {name} was taken", subject.incident, "compare it by hand")
    if not fingerprints.is_changed(plan, subject.incident, name, before):
        raise Permanent(f"{name} was not rotated", "it is the secret of the incident's declaration")
    return "another one than at the declaration"


def _only_expected(address: str, expected: frozenset[int], scanned: list[int]) -> str:
    found = listening(address, scanned)
    if not found:
        raise Transient(f"nothing answers at {address}", "a host that is not reached shows no port either")
    _require_none(unexpected(found, expected))
    return f"{', '.join(map(str, sorted(found)))} of {len(set(scanned))} tried"


def _require_none(findings: list[str]) -> None:
    if findings:
        raise Permanent("not as it should be", "; ".join(findings))
