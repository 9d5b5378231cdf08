"""What a site may show to a stranger, and what is wrong with what it shows. Pure."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from tasks.clients.certificates import Certificate
from tasks.clients.layout import REPLICATION_ROLE, SERVICE_ROLE, SUPERUSER
from tasks.clients.role_grants import Grants, Role
from tasks.plan.plan import Plan
from tasks.plan.ports import ON_EVERY_HOST, PORTS
from tasks.plan.traffic import Endpoint
from tasks.plan.values import in_words

ENDPOINT = "the public endpoint"


def expected_ports(plan: Plan, site: str) -> dict[str, frozenset[int]]:
    """The ports that may listen on each host of a site, and at the public endpoint."""
    security, endpoint = plan.validation.security, plan.service.endpoint
    store = urlsplit(plan.sites[site].storage.endpoint)
    expected = {ENDPOINT: frozenset({*_endpoint_ports(endpoint), *security.administration})}
    for name, host in plan.sites[site].hosts.items():
        its_own = {port for program in host.runs for port in PORTS.get(program, ())}
        if "service" in host.runs:
            its_own.update(each.port for each in plan.services.values())
        if str(host.address) == store.hostname and store.port:
            its_own.add(store.port)
        expected[name] = frozenset(
            {*its_own, *ON_EVERY_HOST, *security.administration, *security.listeners.get(name, ())}
        )
    return expected


def _endpoint_ports(endpoint: Endpoint) -> set[int]:
    return {endpoint.port} | ({endpoint.admin_port} if endpoint.admin_port else set())


def scanned_ports(plan: Plan) -> list[int]:
    """The plan's range, and every port that any program of ours is known by."""
    scan, endpoint = plan.validation.security.scan, plan.service.endpoint
    known = {port for ports in PORTS.values() for port in ports} | ON_EVERY_HOST | _endpoint_ports(endpoint)
    stores = {urlsplit(site.storage.endpoint).port or 443 for site in plan.sites.values()}
    services = {each.port for each in plan.services.values()}
    return sorted({*range(scan.first, scan.last + 1), *known, *stores, *services})


def unexpected(open_ports: Collection[int], expected: Collection[int]) -> list[str]:
    """What listens and is not in the plan."""
    return [f"port {port}" for port in sorted(set(open_ports) - set(expected))]


def let_in(attempts: Mapping[str, bool]) -> list[str]:
    """The attempts that should have been refused, and were not."""
    return [label for label, accepted in attempts.items() if accepted]


def expiring(certificate: Certificate, now: datetime, valid_for: timedelta) -> list[str]:
    """A certificate that ends sooner than the plan allows."""
    if certificate.until - now >= valid_for:
        return []
    return [f"it ends at {certificate.until:%Y-%m-%d %H:%M} UTC, in less than {in_words(valid_for)}"]


def role_findings(roles: Iterable[Role]) -> list[str]:
    """What the service's and the replication role are and must not be, and superusers that nobody planned."""
    known = {role.name: role for role in roles}
    found = [f"there is no role {name}" for name in (SERVICE_ROLE, REPLICATION_ROLE) if name not in known]
    mighty = (role.name for role in known.values() if role.superuser and role.login)
    found += [f"{name} is a superuser" for name in mighty if name != SUPERUSER]
    for role in (known[name] for name in (SERVICE_ROLE, REPLICATION_ROLE) if name in known):
        may = {
            "makes roles or databases": role.creates,
            "bypasses row security": role.bypasses,
            "replicates": role.replicates and role.name != REPLICATION_ROLE,
        }
        found += [f"{role.name} {what}" for what, is_so in may.items() if is_so]
        # A superuser is a member of every role: said once.
        found += [f"{role.name} is a member of {name}" for name in role.member_of if not role.superuser]
    return found


def grant_findings(role: str, grants: Grants, allowed: Mapping[str, Collection[str]] | None) -> list[str]:
    """What a role may do and must not.

    Args:
        role: the role.
        grants: what it may do.
        allowed: all that it is allowed, by table; None where only the closed catalogues are judged.
    """
    found = [f"{role} may {what}" for what in grants.creates]
    for table, privileges in grants.tables.items():
        closed = table.startswith("pg_catalog.")
        if closed or allowed is not None:
            excess = [each for each in privileges if closed or each not in (allowed or {}).get(table, ())]
            found += [f"{role} may {', '.join(excess)} {table}"] if excess else []
    return found
