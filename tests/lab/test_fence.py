"""The fence against Patroni's own code: a returning primary that believes an old state of etcd."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lone_etcd import lone_etcd, member

from tasks.clients import patroni, rebuild
from tasks.clients.layout import scope_of
from tasks.clients.truth import etcd_of

pytestmark = pytest.mark.lab

RETURNING = Path(__file__).with_name("returning_primary.py")


@pytest.fixture
def plan(tmp_path):
    with lone_etcd(tmp_path) as plan:
        yield plan


def node_of(plan, site):
    """The node that led a site when it was cut off."""
    return next(iter(plan.sites[site].running("postgres")))


def takes_its_key(plan, site):
    """Whether Patroni of that node, back with the leader key as it remembers it, takes the key."""
    config = {
        "name": node_of(plan, site),
        "scope": scope_of(plan, site),
        "etcd3": {"hosts": [f"{member(plan)}:2379"]},
        "ttl": 20,
        "loop_wait": 2,
        "retry_timeout": 3,
        "bin_dir": plan.access.postgres_bin,
    }
    argv = [sys.executable, str(RETURNING), json.dumps(config)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout == "took it\n"


def test_without_the_fence_a_returning_primary_takes_its_expired_key_again(plan):
    old = plan.site_of("primary")
    assert patroni.leader_key(plan, old) is None
    assert takes_its_key(plan, old)
    assert patroni.leader_key(plan, old) == node_of(plan, old)


def test_the_fence_keeps_a_returning_primary_from_its_key_until_the_site_follows(plan):
    old, new = plan.site_of("primary"), plan.site_of("dr")
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", '{"ttl": 20}')
    assert patroni.seize_leader_key(plan, old)
    assert patroni.seize_leader_key(plan, old)
    assert not takes_its_key(plan, old)
    assert patroni.leader_key(plan, old) == patroni.FENCE
    patroni.follow(plan, old, new)
    assert patroni.leader_key(plan, old) is None


def test_the_fence_never_takes_a_key_that_is_held(plan):
    old, new = plan.site_of("primary"), plan.site_of("dr")
    assert takes_its_key(plan, old)
    assert not patroni.seize_leader_key(plan, old)
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", '{"ttl": 20}')
    patroni.follow(plan, old, new)
    assert patroni.leader_key(plan, old) == node_of(plan, old)


def test_a_held_site_is_a_standby_of_nobody_and_keeps_its_other_settings(plan):
    old, new = plan.site_of("primary"), plan.site_of("dr")
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", '{"ttl": 20}')
    patroni.hold_as_standby(plan, old)
    held = patroni.read_config(plan, old)
    assert held["ttl"] == 20
    assert set(held["standby_cluster"]["host"].split(",")).isdisjoint(plan.sites[new].addresses("postgres"))
    assert "primary_slot_name" not in held["standby_cluster"]
    patroni.follow(plan, old, new)
    followed = patroni.read_config(plan, old)
    assert followed["standby_cluster"]["host"].split(",") == plan.sites[new].addresses("postgres")
    assert "restore_command" not in followed["standby_cluster"]


def test_a_site_that_was_brought_back_is_not_held_again_by_a_resumed_run(plan):
    old, new = plan.site_of("primary"), plan.site_of("dr")
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", '{"ttl": 20}')
    patroni.follow(plan, old, new)
    followed = patroni.read_config(plan, old)
    patroni.hold_as_standby(plan, old)
    assert patroni.read_config(plan, old) == followed


def may_remove(plan, site):
    """Whether a site's Patroni may remove a data directory that it cannot rewind."""
    return patroni.read_config(plan, site).get("postgresql", {}).get(patroni.REBUILD, False)


@pytest.mark.parametrize("ends", [patroni.hold_as_standby, patroni.release, rebuild.forbid])
def test_the_leave_to_remove_data_ends_where_a_site_is_held_released_or_follows(plan, ends):
    old = plan.site_of("primary")
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", '{"postgresql": {"use_pg_rewind": true}}')
    assert not may_remove(plan, old)
    rebuild.allow(plan, old)
    assert may_remove(plan, old)
    ends(plan, old)
    assert not may_remove(plan, old)
    assert patroni.read_config(plan, old)["postgresql"] == {"use_pg_rewind": True}


def test_to_follow_gives_no_leave_to_remove_data(plan):
    old, new = plan.site_of("primary"), plan.site_of("dr")
    etcd_of(plan).put(f"/service/{scope_of(plan, old)}/config", "{}")
    patroni.follow(plan, old, new)
    assert not may_remove(plan, old)
