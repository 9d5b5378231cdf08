"""What a service that could be recovered at once looks like: for the tests and the bench of readiness."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from tasks.clients.host_room import Room
from tasks.clients.serverfacts import ServerFacts
from tasks.facts.archive import Finding
from tasks.facts.catalogue import Catalogue, Row
from tasks.facts.drill import Drill, DrillReport
from tasks.facts.readiness import Sights
from tasks.policy.coverage import coverage
from tasks.policy.drill import copies_of, digest_of

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
GIB = 2**30


def well(plan, **changed):
    """Everything as it should be, but for what is changed."""
    active = plan.site_of("primary")
    hosts = [(name, host) for name, site in plan.sites.items() for host in site.running("postgres")]
    members = [address for site in plan.sites.values() for address in site.addresses("etcd")]
    assets = [(asset, site) for asset in plan.protection.assets() for site in plan.sites]
    rows = tuple(Row(asset, site, "ok", Finding(f"{asset} at {site}", "ok")) for asset, site in assets)
    vantages = [name for name, site in plan.sites.items() if site.running("watch")]
    control = [name for name, site in plan.sites.items() if site.running("control")]
    seen = Sights(
        at=NOON,
        active=active,
        incident="",
        lags={name: 0.2 for name, site in plan.sites.items() if name != active and site.running("postgres")},
        ages=dict.fromkeys(plan.sites, 4.0),
        catalogue=Catalogue(NOON, rows, coverage(plan, date(2026, 11, 26))),
        rooms={where: Room(8, 64 * GIB, 500 * GIB, 300 * GIB, 0.0) for where in hosts},
        programs={where: ServerFacts("2.54", "15", "15", 7, 100 * GIB) for where in hosts},
        members=members,
        certificates=dict.fromkeys(plan.sites, NOON + timedelta(days=300)),
        keys={f"owner key of the store of {site}": None for site in plan.sites},
        drift=(Finding("servers", "ok"),),
        routes={"pagerduty": None, "slack": None},
        public={"statuspage": None, "subscribers of customers": None},
        control=dict.fromkeys(control),
        vantages=dict.fromkeys(vantages, NOON - timedelta(seconds=5)),
        drills=[held(plan, kind) for kind in plan.dr_testing.drills()],
    )
    return replace(seen, **changed)


def held(plan, kind, **changed):
    """The report of a drill that was held a day ago for this very plan."""
    ended = NOON - timedelta(days=1)
    drill = Drill(
        id=f"dr-drill-{kind}",
        kind=kind,
        reason="the plan's schedule",
        began=ended - timedelta(minutes=9),
        environment="the lab",
        plan_digest=digest_of(plan),
        scenario="a disaster",
        copies=copies_of(plan) if kind == "backup_restoration" else (),
        excluded={},
        assumptions=(),
        criteria=(),
        participants={"owner of findings": "ann"},
        rto_s=60,
        rpo_s=15,
    )
    fields = {
        "drill": drill,
        "ended": ended,
        "verdict": "passed",
        "trials": (),
        "acts": (),
        "before": None,
        "after": None,
        "impact": (),
        "left": (),
        "findings": (),
        "recommendations": (),
    }
    return DrillReport.model_construct(**fields | changed)
