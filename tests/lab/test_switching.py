"""The flags of a site on a real Redis, under a real epoch: who sets them, and what is told when none can."""

import os
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import redis
from lone_etcd import lone_etcd
from typer.testing import CliRunner
from waiting import until

import tasks.flags
import tasks.step
from deployments.cli import app
from tasks.clients import flags
from tasks.clients.flag_settings import KEY, FlagSetting
from tasks.clients.truth import abandon, claim
from tasks.continuity import give_flags_back, switch_continuity
from tasks.errors import Refused, Transient
from tasks.facts.incident import Incident
from tasks.flags import set_by_hand

pytestmark = pytest.mark.lab

PASSWORD = "a planted one"
NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "redis").write_text(PASSWORD)
    with lone_etcd(folder) as plan:
        yield plan


@pytest.fixture
def stores(monkeypatch):
    """What is put on record, without stores."""
    kept = []
    monkeypatch.setattr(tasks.step.journal, "write", lambda *told: kept.append(told[-1]))
    monkeypatch.setattr(tasks.step.journal, "read_all", lambda *_: [])
    monkeypatch.setattr(tasks.flags.records, "write", lambda _plan, key, text: kept.append((key, text)))
    return kept


@pytest.fixture
def case(plan):
    """An incident that holds the epoch and has nothing set."""
    truth = claim(plan, f"inc-{os.urandom(4).hex()}", "us-west-2")
    yield Incident(
        id=truth.incident,
        service=plan.service.name,
        failed_site="us-east-1",
        to_site="us-west-2",
        epoch=truth.epoch,
        reason="a test",
        detected_at=NOON,
        triggered_at=NOON,
    )
    abandon(plan, truth)


@pytest.fixture
def west(plan, tmp_path):
    with redis_at(plan, "us-west-2", tmp_path):
        yield


@contextmanager
def redis_at(plan, site, folder, *more):
    address = plan.sites[site].addresses("redis")[0]
    argv = ["redis-server", "--bind", address, "--save", "", "--requirepass", PASSWORD, *more]
    with (folder / "redis.log").open("w") as log, subprocess.Popen(argv, cwd=folder, stdout=log) as server:
        try:
            with redis.Redis(host=address, password=PASSWORD, socket_timeout=2) as client:
                until(lambda: answers(client), seconds=20)
            yield
        finally:
            server.kill()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def on(plan):
    found = flags.read(plan, "us-west-2")
    return {name for name, setting in found.items() if setting.on and setting.holds(datetime.now(UTC))}


def by_hand(name="shed_low_priority", *, lit=True):
    return name, FlagSetting(on=lit, by="ada", why="too many lists", at=datetime.now(UTC))


def test_a_recovery_switches_and_releases(plan, case, west, stores):
    found = switch_continuity.fn(plan, case, "promoted")
    assert found.not_done == ""
    assert found.flags.keys() == on(plan) == {"shed_low_priority", "defer_notes"}
    assert switch_continuity.fn(plan, case, "promoted") == found
    switch_continuity.fn(plan, case, "recovered")
    assert on(plan) == {"shed_low_priority"}, "it lingers"
    assert flags.read(plan, "us-west-2")["shed_low_priority"].until is not None
    assert ["switch continuity when promoted" in record for record in stores] == [True, True, False]


def test_what_cannot_be_switched_is_a_finding_and_no_failure(plan, case, stores, monkeypatch):
    monkeypatch.setattr("tasks.continuity._PATIENCE_S", 0.5)
    for moment in ("declared", "promoted", "recovered"):
        found = switch_continuity.fn(plan, case, moment)
        assert "no Redis of" in found.not_done
        assert found.flags == {}


def test_a_replica_takes_no_flags_and_says_so(plan, case, tmp_path, stores, monkeypatch):
    monkeypatch.setattr("tasks.continuity._PATIENCE_S", 0.5)
    with redis_at(plan, "us-west-2", tmp_path, "--replicaof", "127.0.0.1", "9"):
        assert "takes no flags" in switch_continuity.fn(plan, case, "promoted").not_done
        with pytest.raises(Transient, match="takes no flags"):
            flags.write(plan, "us-west-2", dict([by_hand()]))


def test_a_stale_run_switches_nothing(plan, case, west, stores):
    stale = case.model_copy(update={"epoch": case.epoch - 1})
    assert "stale" in switch_continuity.fn(plan, stale, "promoted").not_done
    assert on(plan) == set()


def test_read_only_is_taken_back_before_the_proof_and_what_people_set_else_stays(plan, case, west, stores):
    for name in ("read_only", "shed_low_priority"):
        set_by_hand(plan, "us-west-2", *by_hand(name))
    found = switch_continuity.fn(plan, case, "promoted")
    assert "set by ada" in found.flags["read_only"]
    assert on(plan) == {"shed_low_priority", "defer_notes"}
    switch_continuity.fn(plan, case, "recovered")
    kept = flags.read(plan, "us-west-2")
    assert (kept.keys(), kept["shed_low_priority"].by) == ({"shed_low_priority"}, "ada")


def test_an_incident_that_is_given_up_releases_its_flags(plan, case, west, stores):
    switch_continuity.fn(plan, case, "promoted")
    set_by_hand(plan, "us-west-2", *by_hand("read_only"))
    told = give_flags_back.fn(plan, case.id)
    assert on(plan) == {"read_only"}
    assert told["us-west-2"] == "defer_notes, shed_low_priority"
    assert "no Redis of us-east-1" in told["us-east-1"]


def test_who_set_a_flag_and_why_is_on_record_before_it_is_set(plan, west, stores, monkeypatch):
    set_by_hand(plan, "us-west-2", *by_hand())
    [(key, text)] = stores
    assert key.startswith("flags/")
    assert ('"by":"ada"' in text, '"why":"too many lists"' in text) == (True, True)

    def full(*_):
        raise Transient("no store takes it")

    monkeypatch.setattr(tasks.flags.records, "write", full)
    with pytest.raises(Transient, match="no store"):
        set_by_hand(plan, "us-west-2", *by_hand("read_only"))
    assert on(plan) == {"shed_low_priority"}


def test_a_flag_that_the_plan_does_not_know_is_refused(plan, stores):
    with pytest.raises(Refused, match="no flag red"):
        set_by_hand(plan, "us-west-2", *by_hand("red"))
    assert stores == []


def test_the_command_sets_shows_and_gives_back(plan, west, stores, monkeypatch):
    monkeypatch.setenv("DR_PLAN", str(plan.folder / "plan.yaml"))

    def dr(*arguments):
        return CliRunner().invoke(app, ["flags", *arguments, "--site", "us-west-2"])

    said = dr("set", "read_only", "on", "--why", "a migration", "--by", "ada", "--lasting", "10 minutes")
    assert said.output == "read_only is on at us-west-2\n"
    assert on(plan) == {"read_only"}
    shown = dr("show").output
    assert ("a migration" in shown.replace("\n", " "), "ada" in shown) == (True, True)
    assert dr("set", "read_only", "default", "--why", "it is done").exit_code == 0
    assert flags.read(plan, "us-west-2") == {}
    wrong = dr("set", "read_only", "on", "--why", "x", "--lasting", "soon")
    assert isinstance(wrong.exception, Refused)
    assert isinstance(CliRunner().invoke(app, ["flags", "show", "--site", "eu-west-1"]).exception, Refused)


def test_what_is_no_setting_counts_as_not_set(plan, west):
    address = plan.sites["us-west-2"].addresses("redis")[0]
    with redis.Redis(host=address, password=PASSWORD) as client:
        client.hset(KEY, "read_only", "yes")
        assert flags.read(plan, "us-west-2") == {}
        client.set(KEY, "something of somebody else's")
    with pytest.raises(Transient, match="takes no flags"):
        flags.read(plan, "us-west-2")
