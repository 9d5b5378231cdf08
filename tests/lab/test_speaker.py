"""One process speaks for an incident at a time, by a lease in a real etcd: alive, killed, stopped."""

import os
import signal
import subprocess
import sys
import time

import pytest
from lone_etcd import lone_etcd, running_member
from waiting import until

from tasks import speaker as module
from tasks.clients.truth import etcd_of
from tasks.speaker import Silenced, speaker

pytestmark = pytest.mark.lab

CASE = "inc-20261123T120000Z-bbbb"
# Takes the place and speaks: the moment of each sending that it may begin.
SPEAKS = """
import sys, time
from pathlib import Path
from tasks import speaker
from tasks.plan.load import load_plan
speaker._TTL_S, speaker._RENEWED_S = 3, 0.5
with speaker.speaker(load_plan(Path(sys.argv[1]))) as speaks:
    print(speaks.other(sys.argv[2]) or "mine", flush=True)
    while True:
        speaks.require()
        print(time.monotonic(), flush=True)
        time.sleep(0.1)
"""


@pytest.fixture
def plan(tmp_path):
    with lone_etcd(tmp_path) as plan:
        yield plan


@pytest.fixture
def other(plan, tmp_path):
    """Another process that has the place."""
    argv = [sys.executable, "-c", SPEAKS, str(tmp_path / "plan.yaml"), CASE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


def place(plan):
    return etcd_of(plan).get(f"/naas-dr/{plan.service.name}/speaks/{CASE}")


def test_the_place_is_kept_for_longer_than_the_lease_and_free_at_the_end(plan, other):
    time.sleep(4.5)
    with speaker(plan) as late:
        assert late.other(CASE) == place(plan).value
        assert f"process {other.pid} on " in place(plan).value
    assert place(plan).value, "who has not the place takes it from nobody"
    with speaker(plan) as alone:
        assert alone.other("another") == ""
        assert etcd_of(plan).get(f"/naas-dr/{plan.service.name}/speaks/another").lease
    assert etcd_of(plan).get(f"/naas-dr/{plan.service.name}/speaks/another").value is None


def test_a_killed_speakers_place_is_free_soon(plan, other):
    other.kill()
    began = time.monotonic()
    with speaker(plan) as late:
        until(lambda: late.other(CASE) == "", 15)
    assert time.monotonic() - began < 8


def test_a_speaker_that_was_stopped_sends_nothing_once_another_one_speaks(plan, other):
    assert other.stdout.readline(), "it speaks"
    os.kill(other.pid, signal.SIGSTOP)
    with speaker(plan) as late:
        until(lambda: late.other(CASE) == "", 15)
        taken_at = time.monotonic()
        os.kill(other.pid, signal.SIGCONT)
        said, wrong = other.communicate(timeout=20)
        assert Silenced.__name__ in wrong
        late.require()
    sendings = [float(at) for at in said.split()]
    # One may have been begun when it was stopped.
    assert len([at for at in sendings if at > taken_at]) <= 1
    assert place(plan).value is None


def test_without_etcd_it_speaks_at_once_and_goes_on_when_etcd_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TTL_S", 3)
    monkeypatch.setattr(module, "_RENEWED_S", 0.3)
    with lone_etcd(tmp_path) as plan, speaker(plan) as before:
        assert before.other(CASE) == ""
    began = time.monotonic()
    with speaker(plan) as alone:
        assert alone.other(CASE) == ""
        assert time.monotonic() - began < 2.5
        alone.require()
    with speaker(plan) as speaks:
        with running_member(plan, tmp_path):
            assert speaks.other(CASE) == ""
        time.sleep(4)
        speaks.require()
