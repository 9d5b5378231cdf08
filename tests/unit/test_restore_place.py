"""Where a database is restored beside: two runs at once never take each other's copy away."""

import asyncio
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import restore_database as database
from flows import restore_point_in_time as moment
from tasks import restore_database
from tasks.clients import private
from tasks.clients.command import hold
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
SITE, HOST = "us-east-1", "postgres-primary"
FLOWS = (
    (database.restore_database, {}),
    (moment.restore_point_in_time, {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
)
# What holds a claim elsewhere, until it is killed.
_OTHER = """
import sys, time
from tasks.clients.command import hold
held = hold(sys.argv[1:], timeout=10)
print("held", flush=True)
time.sleep(60)
"""


class Chosen(Exception):
    """The flow has its place."""


@pytest.fixture
def plan(monkeypatch, tmp_path):
    plan = load_plan(PLAN)
    # The host is this one; what is removed there is only written down.
    here = plan.model_copy(update={"access": plan.access.model_copy(update={"shell": "sh -c"})})
    monkeypatch.setattr(Psql, "socket", str(tmp_path))
    monkeypatch.setattr(PrivateServer, "stop", lambda *_, **__: pytest.fail("it was taken away"))
    monkeypatch.setattr(restore_database, "put_away", lambda *_, **__: None)
    for flow in (database, moment):
        monkeypatch.setattr(flow, "current_plan", lambda: here)
    monkeypatch.setattr(moment, "require_moment", lambda *_: None)
    return here


@pytest.fixture
def places(monkeypatch):
    """Where each flow restores, which ends there."""
    found = []

    def chosen(_plan, place, *_):
        found.append(place)
        raise Chosen

    for flow in (database, moment):
        monkeypatch.setattr(flow, "restore_files", chosen)
    return found


def run(flow, words):
    asyncio.run(flow.fn(from_site=SITE, host=HOST, **words))


def server(plan, place):
    return PrivateServer(plan, place.site, place.host, place.directory)


def test_each_flow_has_a_directory_of_its_own(plan, places):
    for flow, words in FLOWS:
        with pytest.raises(Chosen):
            run(flow, words)
    assert [each.directory.name for each in places] == ["dr-restore", "dr-moment"]


@pytest.mark.parametrize(("flow", "words"), FLOWS)
def test_a_second_run_is_refused_while_the_first_is_at_work(plan, places, monkeypatch, flow, words):
    with pytest.raises(Chosen):
        run(flow, words)
    monkeypatch.setattr(restore_database, "put_away", lambda *_, **__: pytest.fail("it was taken away"))
    with server(plan, places[0]).claim(), pytest.raises(Refused, match="another restore is at work"):
        run(flow, words)
    assert len(places) == 1
    monkeypatch.setattr(restore_database, "put_away", lambda *_, **__: None)
    with pytest.raises(Chosen):
        run(flow, words)


def test_the_claim_of_a_killed_run_ends_with_it(plan, tmp_path):
    lock = tmp_path / "lock"
    claim = ["sh", "-c", private._CLAIM.format(lock=lock, taken=private._TAKEN)]
    with subprocess.Popen([sys.executable, "-c", _OTHER, *claim], stdout=subprocess.PIPE) as other:
        with closing(other.stdout):
            assert other.stdout.readline() == b"held\n"
        with pytest.raises(Permanent):
            hold(claim, timeout=10)
        other.kill()
    subprocess.run(["flock", "-w", "10", lock, "true"], check=True)
    with hold(claim, timeout=10):
        pass


def test_a_host_that_says_nothing_is_waited_for_no_longer_than_told():
    with pytest.raises(Transient, match="did not end"):
        hold(["sleep", "60"], timeout=0.2)


def test_what_a_killed_run_left_is_removed_before_it_is_restored_into(plan, monkeypatch):
    done = []
    monkeypatch.setattr(PrivateServer, "is_free", lambda _: False)
    monkeypatch.setattr(PrivateServer, "stop", lambda _, *, remove: done.append(("removed", remove)))
    monkeypatch.setattr(restore_database, "_restore", lambda *_: done.append("restored"))
    place = restore_database.choose_place(plan, SITE, HOST, None, keep=False, now=datetime.now(UTC))
    restore_database.restore_files.fn(plan, place)
    assert done == [("removed", True), "restored"]
