"""A planned move there and back under load: nothing is lost, and what is not well is refused or undone."""

import json
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from waiting import until

from tasks.clients import cache, ledger, patroni, postgres
from tasks.clients.truth import read_truth
from tasks.errors import DrError
from tasks.move_view import look
from tasks.policy.switchover import reasons_against

pytestmark = [pytest.mark.lab, pytest.mark.fault]


def ready(lab, target):
    """Whether a move to a site can begin; a lab that has just started needs a moment."""

    def well():
        try:
            return not reasons_against(look(lab.plan, target))
        except DrError:
            return False

    until(well)


def report(lab):
    return json.loads(lab.dr("report", "latest", "--json"))


def missing(lab, site):
    return ledger.missing(lab.plan, patroni.leader(lab.plan, site).host, ledger.acknowledged(lab.plan))


def masters(lab):
    addresses = [address for site in lab.plan.sites.values() for address in site.addresses("redis")]
    return [address for address in addresses if cache.role(lab.plan, address) == "master"]


def assert_moved(lab, target, other):
    told = report(lab)
    assert told["kind"] == "switchover"
    assert told["to_site"] == target
    assert told["rpo"]["lost_transactions"] == 0
    assert told["ledger"]["missing"] == 0
    assert told["ledger"]["acknowledged"] > 0
    assert 0 < told["write_pause_seconds"] < 30
    assert missing(lab, target) == set()
    assert masters(lab) == lab.plan.sites[target].addresses("redis")[:1]
    states = {member.name: member.state for member in patroni.members(lab.plan, other)}
    assert states == dict.fromkeys(lab.plan.sites[other].running("postgres"), "streaming")
    assert read_truth(lab.plan)[0].active == target
    assert read_truth(lab.plan)[0].done


@pytest.fixture(scope="module")
def lab(labs):
    return labs.fresh("loopback")


@pytest.mark.timeout(300)
def test_a_move_there_and_back_under_load_loses_nothing(lab):
    home, away = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    ready(lab, away)
    lab.dr("lab", "load", "--rate", "25")
    time.sleep(3)
    lab.dr("run", "switch-over", "--param", "reason=maintenance", site=away)
    assert_moved(lab, away, home)
    time.sleep(2)
    lab.dr("run", "fail-back", site=away)
    lab.dr("lab", "load", "--stop")
    assert_moved(lab, home, away)


@pytest.mark.timeout(200)
def test_a_move_is_refused_where_redis_does_not_replicate(lab):
    plan, away = lab.plan, lab.plan.site_of("dr")
    ready(lab, away)
    before, _ = read_truth(plan)
    with redis_paused(lab, away):
        done = lab.attempt("run", "switch-over", site=away)
    assert done.returncode == 2
    assert "Redis" in done.stderr
    assert read_truth(plan)[0] == before
    postgres.prove_write(plan, patroni.leader(plan, before.active).host, "still here")


@pytest.mark.timeout(300)
def test_a_move_whose_wal_does_not_arrive_is_undone(lab):
    plan, home, away = lab.plan, lab.plan.site_of("primary"), lab.plan.site_of("dr")
    ready(lab, away)
    before, _ = read_truth(plan)
    flow = threading.Thread(target=lambda: done.append(lab.attempt("run", "switch-over", site=away)))
    done = []
    flow.start()
    until(lambda: not read_truth(plan)[0].done)
    with receiver_stopped(lab, away):
        flow.join(150)
    assert done[0].returncode == 1
    assert "abandoned" in done[0].stderr
    truth, _ = read_truth(plan)
    assert (truth.active, truth.done) == (home, True)
    assert truth.epoch > before.epoch
    until(lambda: writes(plan, home))
    ready(lab, away)


def writes(plan, site):
    try:
        postgres.prove_write(plan, patroni.leader(plan, site).host, "back again")
    except DrError:
        return False
    return True


@contextmanager
def redis_paused(lab, site):
    """A site's first Redis answers nobody."""
    address = lab.plan.sites[site].addresses("redis")[0]
    [server] = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr == (address, 6379) and connection.status == psutil.CONN_LISTEN
    }
    process = psutil.Process(server)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def receiver_stopped(lab, site):
    """What receives WAL on a site's standby leader takes nothing more."""
    with postgres.connected(lab.plan, patroni.leader(lab.plan, site).host) as connection:
        [row] = connection.execute("select pid from pg_stat_wal_receiver").fetchall()
    process = psutil.Process(row["pid"])
    process.suspend()
    try:
        yield
    finally:
        process.resume()
