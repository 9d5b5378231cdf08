"""A site dies or is cut off under load, another takes over, the old one returns: no loss in silence."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from waiting import until
from wal_planting import replication_held_back

from infra.lab.control import client_settings
from infra.lab.network import Namespaces
from infra.load.ledger import Ledger
from tasks.clients import cache, journal, ledger, patroni
from tasks.clients.truth import read_truth

pytestmark = [pytest.mark.lab, pytest.mark.fault]

SAMPLER = Path(__file__).with_name("write_sampler.py")
KILLED_FLOW = Path(__file__).parents[1] / "faults/killed_flow.py"
ORDERS_A_SECOND = 25


@contextmanager
def sampling(lab, site):
    """Attempts to write to a site every 100 ms, from inside its network; yields what became of them."""
    argv = [*lab.home.network().prefix(site), sys.executable, str(SAMPLER), str(lab.home.plan_file), site]
    counts = {}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sampler:
        try:
            assert sampler.stdout.readline() == "sampling\n"
            yield counts
        finally:
            told, _ = sampler.communicate(timeout=20)
    counts.update(json.loads(told))


def report(lab):
    return json.loads(lab.dr("report", "latest", "--json"))


def saved_ids(lab, incident):
    """The orders that were saved from the old site before it was rewound."""
    lines = (journal.read(lab.plan, incident, "diverged/rows.jsonl") or "").splitlines()
    return {json.loads(line)["row"]["id"] for line in lines}


def missing_ids(lab, site):
    """The acknowledged orders that a site's database does not have."""
    return ledger.missing(lab.plan, patroni.leader(lab.plan, site).host, ledger.acknowledged(lab.plan))


def redis_roles(lab):
    return {
        address: cache.role(lab.plan, address)
        for site in lab.plan.sites.values()
        for address in site.addresses("redis")
    }


def assert_the_sampler_sees_writes(lab, site):
    with sampling(lab, site) as counts:
        time.sleep(1)
    written = {target for target, outcomes in counts.items() if outcomes.get("written")}
    assert written == {patroni.leader(lab.plan, site).host, *gateways(lab, site)}


def gateways(lab, site):
    return [f"gateway {address}" for address in lab.plan.sites[site].addresses("gateway")]


def assert_never_written(counts):
    written = {target: outcomes["written"] for target, outcomes in counts.items() if "written" in outcomes}
    assert written == {}
    # The servers themselves refused: it was not the sampler that did not reach them.
    nodes = {target: outcomes for target, outcomes in counts.items() if not target.startswith("gateway")}
    assert all(outcomes.get("read-only", 0) > 10 for outcomes in nodes.values()), counts


def return_home(lab, old, new):
    """Heal the old site and bring it back, sampling it all the while."""
    with sampling(lab, old) as counts:
        time.sleep(0.5)
        lab.dr("lab", "heal", old)
        lab.dr("run", "bring-back", site=new)
        assert_streams(lab, old)
    print(f"attempts to write to {old}: {counts}")  # noqa: T201 - evidence, shown with -s or on failure
    assert_never_written(counts)


def assert_streams(lab, site):
    states = {member.name: member.state for member in patroni.members(lab.plan, site)}
    assert states == dict.fromkeys(lab.plan.sites[site].running("postgres"), "streaming")


def assert_one_redis_master(lab, new):
    masters = [address for address, role in redis_roles(lab).items() if role == "master"]
    assert masters == lab.plan.sites[new].addresses("redis")[:1]


def assert_exact(lab, bound):
    """The completed report, the clients' ledger and what was saved agree to the order."""
    done = report(lab)
    missing = missing_ids(lab, done["to_site"])
    acknowledged = Ledger.read(lab.home.ledger).acknowledged
    assert done["rpo"]["basis"] == "exact"
    assert done["rpo"]["lost_transactions"] == done["ledger"]["missing"] == len(missing)
    assert bound["lost_transactions"] >= len(missing)
    assert missing == saved_ids(lab, done["incident"]) & set(acknowledged)
    return len(missing)


@pytest.mark.timeout(300)
def test_a_dead_site_returns_as_a_standby_and_its_loss_is_exact(labs):
    lab = labs.fresh("loopback")
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    assert_the_sampler_sees_writes(lab, old)
    lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
    time.sleep(3)
    with replication_held_back(lab, old, new):
        time.sleep(2)
        lab.dr("lab", "break", old)
    lab.dr("run", "fail-over", "--param", "reason=power loss", site=new)
    lab.dr("lab", "load", "--stop")
    bound = report(lab)["rpo"]
    assert bound["basis"] == "bound"
    return_home(lab, old, new)
    assert assert_exact(lab, bound) > 0
    assert_one_redis_master(lab, new)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available()))
def test_a_site_that_was_cut_off_takes_no_write_after_its_return(labs):
    lab = labs.fresh("namespaces")
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    assert_the_sampler_sees_writes(lab, old)
    lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
    time.sleep(3)
    lab.dr("lab", "cut", old)
    lab.dr("run", "fail-over", "--param", "reason=partition", site=new)
    lab.dr("lab", "load", "--stop")
    bound = report(lab)["rpo"]
    return_home(lab, old, new)
    # The old primary acknowledged orders until it demoted itself; each is saved.
    assert assert_exact(lab, bound) > 0
    assert_one_redis_master(lab, new)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_site_that_fails_over_within_itself_before_its_promotion_is_on_record_hides_no_loss(labs):
    lab = labs.fresh("loopback")
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
    time.sleep(3)
    with replication_held_back(lab, old, new):
        time.sleep(2)
        lab.dr("lab", "break", old)
    incident = promoted_and_killed(lab)
    lead_by_another(lab, new)
    lab.dr("run", "fail-over", "--param", f"incident={incident}", site=new)
    lab.dr("lab", "load", "--stop")
    bound = report(lab)["rpo"]
    return_home(lab, old, new)
    assert assert_exact(lab, bound) > 0


def promoted_and_killed(lab):
    """A fail-over that died before it wrote down that it had promoted; its incident."""
    flow = ["fail-over", "promote PostgreSQL", "before", "reason=power loss"]
    argv = [sys.executable, str(KILLED_FLOW), *flow]
    environment = os.environ | client_settings(lab.home, lab.plan)
    died = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    return read_truth(lab.plan)[0].incident


def lead_by_another(lab, site):
    """A switchover within a site, as soon as another of its nodes can lead."""
    before = patroni.leader(lab.plan, site)
    url, login = f"http://{before.host}:8008/switchover", ("patroni", lab.plan.secret("patroni_api"))

    def switched():
        answer = httpx.post(url, json={"leader": before.name}, auth=login, timeout=60, trust_env=False)
        return answer.status_code == httpx.codes.OK

    until(switched)
    assert until(lambda: patroni.leader(lab.plan, site)).name != before.name
