"""What a run does not wait for: a plan looked through, what was read before, routine work beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.utilities.collections import visit_collection
from third_parties import Plans

from deployments.warm import warm
from tasks.clients.channels.trust import trusted
from tasks.clients.http import tls
from tasks.current import current_plan

GO_FIRST = "from deployments.priority import go_first; go_first()"
STAND_BACK = "from deployments.priority import stand_back; stand_back()"
TELL = "import os; print(os.nice(0), open('/proc/self/autogroup').read().split()[-1])"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    plan = Plans(tmp_path).plan
    monkeypatch.setenv("DR_PLAN", str(plan.folder / "plan.yaml"))
    return plan


def visited(value):
    seen = []
    visit_collection(value, seen.append)
    return len(seen)


def told(script):
    """What a process says that begins a session, as a run does: its niceness, and its session's."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, start_new_session=True
    )
    return done.stdout.split()


def test_prefect_looks_into_what_a_task_is_given_but_not_into_a_plan(plan):
    assert visited([plan.service]) > 10
    assert visited([plan]) == 2


def test_a_plan_is_whole_all_the_same(plan):
    assert plan.model_dump().keys() >= {"service", "sites", "recovery"}
    assert type(plan).model_validate(plan.model_dump(mode="json")).service == plan.service
    assert plan.model_copy(update={"maintenance": ()}) == plan


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this Linux weighs no sessions")
def test_a_run_stands_back_with_its_session():
    mine = os.nice(0)
    assert told(TELL) == [str(mine), "0"]
    assert told(f"{STAND_BACK}; {TELL}") == [str(min(19, mine + 10)), "10"]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this Linux weighs no sessions")
def test_a_recovery_goes_first_where_it_may():
    may = subprocess.run(["nice", "-n", "-10", "nice"], capture_output=True, text=True, check=False).stdout
    niceness, session = told(f"{GO_FIRST}; {TELL}")
    assert niceness == may.strip()
    assert session in {"-10", "0"}


def test_what_was_read_before_a_run_is_not_read_again(plan, monkeypatch):
    warm()
    monkeypatch.setattr("ssl.create_default_context", None)
    monkeypatch.setattr("tasks.current.load_plan", None)
    assert tls()
    assert trusted(current_plan())


def test_a_plan_that_cannot_be_read_is_left_to_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("DR_PLAN", str(tmp_path / "none.yaml"))
    warm()
