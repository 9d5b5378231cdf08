"""The vantages' records in a real etcd: written, read, renewed, and a leader key that is renewed or not."""

import base64
import time
from datetime import UTC, datetime

import httpx
import pytest
from lone_etcd import lone_etcd, member

from tasks.clients.etcd import Etcd
from tasks.clients.patroni import leader_key_path, seize_leader_key
from tasks.clients.truth import claim
from tasks.facts.watch import Record, Suspicion
from tasks.policy.watch import rule_of
from tasks.watching import Exchange, vantages_of

pytestmark = pytest.mark.lab

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def plan(tmp_path):
    with lone_etcd(tmp_path) as plan:
        yield plan


def exchange(plan, vantage):
    return Exchange(plan, vantage, rule_of(plan))


def record(plan, vantage):
    site = plan.site_of("primary")
    return Record(
        vantage=vantage,
        site=site,
        at=NOW,
        level="lost",
        verdict="site_failure",
        since=NOW,
        evidence={"a": "b"},
    )


def post(plan, path, body):
    return httpx.post(f"http://{member(plan)}:2379/v3/{path}", json=body, timeout=5).raise_for_status().json()


def lead(plan, ttl_s):
    """Take the primary's leader key with a lease, as Patroni does; the lease's id."""
    lease = post(plan, "lease/grant", {"TTL": ttl_s})["ID"]
    Etcd([member(plan)]).put(leader_key_path(plan, plan.site_of("primary")), "postgres-primary")
    key = {"key": _encoded(plan), "lease": lease, "ignore_value": True}
    post(plan, "kv/put", key)
    return lease


def _encoded(plan):
    return base64.b64encode(leader_key_path(plan, plan.site_of("primary")).encode()).decode()


def test_each_vantage_reads_what_the_other_wrote(plan):
    dr, archive = vantages_of(plan)
    site = plan.site_of("primary")
    told = exchange(plan, dr).read(site)
    assert (told.active, told.epoch, told.incident, told.records, told.suspicion) == (site, 0, "", {}, None)
    exchange(plan, archive).write(record(plan, archive))
    found, revision = exchange(plan, dr).read(site).records[archive]
    assert found == record(plan, archive)
    exchange(plan, archive).write(record(plan, archive))
    assert exchange(plan, dr).read(site).records[archive][1] > revision


def test_a_leader_key_is_renewed_until_its_holder_stops(plan):
    site, watcher = plan.site_of("primary"), exchange(plan, plan.site_of("dr"))
    assert watcher.read(site).lease == "ended"
    lease = lead(plan, 60)
    assert watcher.read(site).lease == "renewed"
    time.sleep(rule_of(plan).renewal + 1.5)
    assert watcher.read(site).lease == "ended", "the key is there, and nobody renews it"
    post(plan, "lease/keepalive", {"ID": lease})
    assert watcher.read(site).lease == "renewed"
    post(plan, "lease/revoke", {"ID": lease})
    assert watcher.read(site).lease == "ended"
    assert seize_leader_key(plan, site)
    assert watcher.read(site).lease == "ended", "the fence holds it, without a lease"


def test_one_suspicion_is_written_by_whoever_is_first(plan):
    site = plan.site_of("primary")
    one, other = (exchange(plan, vantage) for vantage in vantages_of(plan))
    suspicion = Suspicion(site=site, epoch=0, detected_at=NOW)
    one.suspect(suspicion, 0)
    other.suspect(suspicion.model_copy(update={"epoch": 9}), 0)
    told = other.read(site)
    assert told.suspicion == suspicion
    other.clear(told.suspicion_revision - 1)
    assert other.read(site).suspicion == suspicion, "another one by now"
    other.clear(told.suspicion_revision)
    assert one.read(site).suspicion is None


def test_an_incident_that_is_open_is_told(plan):
    site, dr = plan.site_of("primary"), plan.site_of("dr")
    claim(plan, "inc-1", dr)
    told = exchange(plan, dr).read(site)
    assert (told.active, told.epoch, told.incident) == (dr, 1, "inc-1")


def test_a_record_of_another_version_is_none(plan):
    site, (dr, archive) = plan.site_of("primary"), vantages_of(plan)
    Etcd([member(plan)]).put(f"/naas-dr/{plan.service.name}/watch/{archive}", '{"colour": "blue"}')
    assert exchange(plan, dr).read(site).records == {}
