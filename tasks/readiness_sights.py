"""Look at everything that a recovery would need, all at once. No Prefect here.

Source: the seed's "Disaster Recovery Sites".
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from tasks import arrival, inventory
from tasks.clients import certificates, host_room
from tasks.clients.channels.reaching import reachable
from tasks.clients.http import request
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket, location_of
from tasks.clients.parallel import ask_all
from tasks.clients.public.reaching import public_reachable
from tasks.clients.sealing import recipients, recovery_key
from tasks.clients.serverfacts import server_facts
from tasks.clients.signing import public_key
from tasks.clients.truth import active_site, etcd_of, open_incident
from tasks.drill_evidence import read_drill_reports
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.archive import Finding
from tasks.facts.readiness import Sights
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret
from tasks.policy.arrival import Track, cold_age
from tasks.watching import last_told

_ALL_S = 40.0
_QUICK = httpx.Timeout(5.0, connect=2.0)
Job = Callable[[], Any]


def look_around(plan: Plan, drift: Sequence[Finding] | DrError) -> Sights:
    """Ask everything at once; what does not answer within 40 seconds is unknown.

    Args:
        plan: what should be there.
        drift: what the servers run that is not what the plan says.

    Raises:
        Transient: etcd has no quorum, so nobody can tell which site is active.
    """
    now, active = datetime.now(UTC), active_site(plan)
    groups: Mapping[str, Mapping[Any, Job]] = {
        "rooms": _rooms(plan),
        "programs": _programs(plan),
        "certificates": {site: partial(certificates.store_until, plan, site) for site in plan.sites},
        "keys": _keys(plan),
        "routes": reachable(plan),
        "public": public_reachable(plan),
        "control": _control(plan),
        "one": {
            "lags": partial(_lags, plan),
            "ages": partial(_ages, plan),
            "catalogue": partial(inventory.catalogue, plan, now),
            "members": lambda: etcd_of(plan).healthy_members(),
            "vantages": partial(last_told, plan),
            "drills": partial(read_drill_reports, plan),
        },
    }
    jobs = {(group, key): job for group, each in groups.items() for key, job in each.items()}
    answers = ask_all(jobs, _ALL_S)
    found: dict[str, Any] = {
        group: {key: answers[group, key] for key in each} for group, each in groups.items()
    }
    one = found.pop("one")
    return Sights(at=now, active=active, incident=open_incident(plan), drift=drift, **one, **found)


def _lags(plan: Plan) -> dict[str, float]:
    track = Track()
    arrival.look_at_writing(plan, track)
    return arrival.standby_lags(plan, track)


def _ages(plan: Plan) -> dict[str, float]:
    writing = arrival.look_at_writing(plan, Track())
    newest = arrival.newest_segments(plan, writing)
    # At the active site a segment is archived as soon as it is full; a copy has it after a pull.
    timeout = plan.recovery.archive_timeout
    return {site: cold_age(each, writing, timeout).total_seconds() for site, each in newest.items()}


def _rooms(plan: Plan) -> dict[tuple[str, str], Job]:
    return {
        (site, host): partial(
            host_room.room_of, plan, str(it.address), Layout.of(plan, site, host).data_dir.parent
        )
        for site, host, it in _databases(plan)
    }


def _programs(plan: Plan) -> dict[tuple[str, str], Job]:
    return {(site, host): partial(server_facts, plan, site, host) for site, host, _ in _databases(plan)}


def _databases(plan: Plan) -> list[tuple[str, str, Any]]:
    return [
        (name, host, it) for name, site in plan.sites.items() for host, it in site.running("postgres").items()
    ]


def _keys(plan: Plan) -> dict[str, Job]:
    """Every credential that a recovery uses, tried or read; what is accepted tells nothing."""
    tried = {
        f"{role} key of the store of {name}": partial(_opens, plan, name, getattr(site.storage, role))
        for name, site in plan.sites.items()
        for role in ("owner", "reader")
    }
    read: dict[str, Job] = {
        f"secret {name}": partial(_nothing, plan.secret, name)
        for name, reference in plan.secrets
        if reference is not None
    }
    kept: dict[str, Job] = {"recovery key": partial(_opens_sealed, plan)}
    if plan.evidence:
        kept["evidence key"] = partial(_signs, plan, plan.evidence.key)
    return {**tried, **read, **kept}


def _opens(plan: Plan, site: str, reference: str) -> None:
    Bucket(location_of(plan, site, reference), 5).children("")


def _opens_sealed(plan: Plan) -> None:
    if str(recovery_key(plan).to_public()) not in {str(each) for each in recipients(plan)}:
        raise Permanent("nothing that is sealed now opens with it", hint="it must be one of the recipients'")


def _signs(plan: Plan, reference: str) -> None:
    public_key(read_secret(plan.folder, reference))


def _nothing(ask: Callable[[str], Any], name: str) -> None:
    ask(name)


def _control(plan: Plan) -> dict[str, Job]:
    return {
        name: partial(_answers, plan, address)
        for name, site in plan.sites.items()
        for address in site.addresses("control")
    }


def _answers(plan: Plan, address: str) -> None:
    """Its health says nothing of its database; that it is ready does. Source: Prefect's REST API."""
    auth = ("admin", plan.secret("prefect_api"))
    try:
        told = request("GET", f"http://{address}:4200/api/ready", timeout=_QUICK, auth=auth)
    except httpx.HTTPError as error:
        raise Transient(f"Prefect at {address} does not answer", type(error).__name__) from error
    if told.status_code != httpx.codes.OK:
        raise Transient(f"Prefect at {address} is not ready", f"HTTP {told.status_code}")
