"""A fence in the plan's etcd is no proof while a PostgreSQL of the old site still answers as a primary."""

from types import SimpleNamespace

import pytest

import tasks.fence
from infra.lab.home import DEFAULT_PLAN
from tasks.clients import nodes
from tasks.errors import Permanent, Transient
from tasks.plan.load import load_plan

EAST = "us-east-1"


@pytest.fixture(scope="module")
def plan():
    return load_plan(DEFAULT_PLAN)


class Site:
    """What holds the leader key, and each node's PostgreSQL: True leads, False follows, None is silent."""

    def __init__(self, plan):
        self.addresses = {str(h.address): name for name, h in plan.sites[EAST].running("postgres").items()}
        self.names = list(self.addresses.values())
        self.lease_ends, self.demoted = 0.0, None
        self.leads, self.obeys_at = dict.fromkeys(self.names), float("inf")
        self.now = 0.0

    def seize(self, *_):
        return self.demoted is None and self.now >= self.lease_ends

    def position(self, _plan, address, **_):
        leads = self.leads[self.addresses[address]]
        if leads is None:
            raise Transient("it does not answer")
        return SimpleNamespace(in_recovery=not leads or self.now >= self.obeys_at)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def site(plan, monkeypatch):
    site, of = Site(plan), tasks.fence
    monkeypatch.setattr(of.patroni, "seize_leader_key", site.seize)
    monkeypatch.setattr(of, "demoted_node", lambda *_: site.demoted)
    monkeypatch.setattr(nodes.postgres, "position", site.position)
    monkeypatch.setattr(of, "time", SimpleNamespace(monotonic=lambda: site.now, sleep=site.sleep))
    return site


@pytest.mark.parametrize("others", [None, False], ids=["silent", "standbys"])
def test_a_site_whose_key_ran_out_is_fenced(plan, site, others):
    site.lease_ends, site.leads = 5.0, dict.fromkeys(site.names, others)
    assert "ran out in etcd" in tasks.fence._wait_for_proof(plan, EAST)
    assert site.now == pytest.approx(5.0, abs=0.2)


def test_a_site_that_leads_a_standby_cluster_is_fenced(plan, site):
    site.demoted, site.leads = site.names[1], dict.fromkeys(site.names, False)
    assert f"{site.names[1]} holds the key" in tasks.fence._wait_for_proof(plan, EAST)


@pytest.mark.parametrize("demoted", [False, True], ids=["nobody has the key", "another node has it"])
def test_a_primary_whose_patroni_is_dead_or_hung_is_no_proof(plan, site, demoted):
    site.demoted = site.names[1] if demoted else None
    site.leads[site.names[0]] = True
    with pytest.raises(Permanent, match="is not fenced") as told:
        tasks.fence._wait_for_proof(plan, EAST)
    assert f"PostgreSQL on {site.names[0]} is a primary" in told.value.detail


def test_one_that_obeys_a_little_later_is_fenced_then(plan, site):
    site.leads[site.names[0]], site.obeys_at = True, 3.0
    assert tasks.fence._wait_for_proof(plan, EAST)
    assert site.now == pytest.approx(3.0, abs=0.2)


def test_a_key_that_is_held_is_told(plan, site):
    site.lease_ends = float("inf")
    with pytest.raises(Permanent) as told:
        tasks.fence._wait_for_proof(plan, EAST)
    assert "its leader key is held" in told.value.detail
