"""The quarterly drill in the lab: the service on a clone, with no way out, and nothing left of it."""

import os
import signal
import subprocess
import time

import pytest
from drill_traces import left
from lab_handle import DR
from waiting import until

from tasks.activation_drill import choose_host, clone_standby, open_apart, require_isolated
from tasks.clients import patroni, postgres, records
from tasks.clients.drill_ground import Ground, remove
from tasks.clients.sandbox import Sandbox
from tasks.drill_evidence import FOLDER, read_drill_reports
from tasks.errors import Permanent
from tasks.policy.drill import WHOLE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
FLOW = "drill-failover-testing"


@pytest.fixture(scope="module")
def lab(shared_lab):
    return shared_lab()


def orders(plan):
    leader = patroni.leader(plan, plan.site_of("primary"))
    with postgres.connected(plan, leader.host) as connection:
        return connection.execute("select count(*) as n from orders where item like 'naas-dr%'").fetchone()[
            "n"
        ]


def test_the_service_works_apart_and_production_does_not_notice(lab):
    before = orders(lab.plan)
    ended = lab.attempt("run", FLOW, timeout=240)
    report = read_drill_reports(lab.plan)[-1]
    [trial] = report.trials
    assert (ended.returncode, report.verdict) == (0, "passed"), trial.wrong
    acts = {act.name: act.detail for act in trial.acts}
    assert "place-an-order: 201" in acts["walk through the service"]
    assert "find-it-in-the-database-once: holds" in acts["walk through the service"]
    assert acts["see that nothing leads out"].startswith("none of ")
    assert report.impact == ()
    assert orders(lab.plan) == before
    assert left(lab.plan) == set()


def another_drill(plan):
    """As the one before, by another name."""
    return read_drill_reports(plan)[-1].drill.model_copy(update={"id": "dr-drill-planted", "ends": None})


@pytest.mark.long
def test_a_way_to_production_is_found(lab):
    plan = lab.plan
    drill, where = another_drill(plan), choose_host.fn(plan)
    door = plan.service.endpoint
    listen = f"python3 -m http.server --bind {door.address} {door.port}"
    try:
        clone_standby.fn(plan, drill, where)
        open_apart.fn(plan, drill, where)
        assert require_isolated.fn(plan, drill, where).startswith("none of ")
        Sandbox(Ground(plan, *where, drill.id)).serve(listen, f"http://{door.address}:{door.port}")
        with pytest.raises(Permanent, match="reaches production") as caught:
            require_isolated.fn(plan, drill, where)
    finally:
        remove(plan, *where, drill.id)
    assert caught.value.detail == "the public endpoint"
    assert left(plan) == set()


@pytest.mark.long
def test_it_ends_itself_when_its_time_is_over(lab):
    plan = lab.plan
    drill, where = another_drill(plan), choose_host.fn(plan)
    sandbox = Sandbox(Ground(plan, *where, drill.id))
    try:
        clone_standby.fn(plan, drill, where)
        sandbox.open(3)
        until(lambda: not [each for each in left(plan) if isinstance(each, int)], 30)
    finally:
        remove(plan, *where, drill.id)
    assert left(plan) == set()


def kill(lab, moment, begun=lambda: True):
    """Hold a drill, and kill it so many seconds after it has begun; at any moment where that is not asked."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "DR_LAB": str(lab.home.directory)}
    with subprocess.Popen([DR, "run", FLOW], env=environment, start_new_session=True) as flow:
        until(begun, 60)
        time.sleep(moment)
        os.killpg(flow.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("moment", [4.0, 7.0, 10.0])
def test_of_a_drill_that_was_killed_the_sweeper_leaves_nothing(lab, moment):
    plan = lab.plan
    kill(lab, moment)
    time.sleep(100)  # until its marks are old
    lab.attempt("run", "sweep-drills")
    assert left(plan) == set()
    leader = patroni.leader(plan, plan.site_of("dr"))
    assert postgres.position(plan, leader.host).in_recovery


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_drill_that_was_killed_has_a_report_and_somebody_hears_of_it(lab):
    plan = lab.plan
    known = set(records.names(plan, FOLDER, "/drill.json"))
    kill(lab, 1.0, begun=lambda: set(records.names(plan, FOLDER, "/drill.json")) - known)
    time.sleep(200)  # until none can be taken for one that begins
    swept = lab.attempt("run", "sweep-drills")
    report = read_drill_reports(plan)[-1]
    assert (swept.returncode, report.verdict) == (1, "failed")
    assert report.drill.id in swept.stderr
    assert [each.trial for each in report.findings] == [WHOLE]
    lab.dr("run", "sweep-drills")
    lab.dr("run", FLOW)
    [finding] = read_drill_reports(plan)[-1].findings
    assert finding.status == "passed its retest"
