"""A node that could not be stopped never takes the lead of a scope that is begun anew."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import tasks.restore_cold
import tasks.start_restored
from tasks.clients import patroni, scope
from tasks.errors import Permanent, Transient
from tasks.facts.cold import Infrastructure, Recovered, Swapped
from tasks.facts.incident import Incident, StepRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTS = {name: SimpleNamespace(address=name) for name in ("db-a", "db-b")}
PLAN = SimpleNamespace(sites={"west": SimpleNamespace(hosts=HOSTS, running=lambda _: HOSTS)})
INCIDENT = Incident(
    id="i1", service="s", failed_site="east", to_site="west", epoch=1, reason="", detected_at=NOON,
    triggered_at=NOON, kind="cold",
)  # fmt: skip
RECOVERED = Recovered(
    system="7", timeline=1, lsn="0/1000", reached=None, next_xid=5, wal="w", bytes=1, tables=1
)


@pytest.fixture
def keys(monkeypatch):
    """The scope's record in etcd, and after how many seconds which key's lease ends."""
    now = SimpleNamespace(s=0.0, record={"config": json.dumps({"ttl": 20})}, ends={})

    def sleep(seconds):
        now.s += seconds

    def record_of(*_):
        return {name: value for name, value in now.record.items() if now.ends.get(name, now.s + 1) > now.s}

    monkeypatch.setattr(scope, "record_of", record_of)
    monkeypatch.setattr(scope, "time", SimpleNamespace(monotonic=lambda: now.s, sleep=sleep))
    return now


def require():
    scope.require_only(PLAN, "west", {"db-a": None})


def test_keys_of_stopped_nodes_and_of_the_fence_hold_nobody_up(keys):
    keys.record |= {"members/db-a": "{}", "leader": patroni.FENCE, "initialize": "7"}
    require()
    keys.record["leader"] = "db-a"
    require()
    assert keys.s == 0


def test_the_key_of_a_dead_node_is_waited_for(keys):
    keys.record |= {"members/db-b": "{}", "leader": "db-b"}
    keys.ends = {"members/db-b": 15, "leader": 18}
    require()
    assert 18 <= keys.s < 20


@pytest.mark.parametrize("name", ["members/db-b", "leader", "members/of-nobody"])
def test_a_node_that_runs_out_of_reach_is_not_waited_for_for_ever(keys, name):
    keys.record[name] = "db-b"
    with pytest.raises(Permanent, match="runs on a node that cannot be stopped"):
        require()


class Node:
    """A database host with a restored copy, or one that cannot be reached."""

    def __init__(self, _plan, _site, host, _incident):
        self.site, self.host = "west", host

    def state(self):
        if self.host == "db-b":
            raise Transient("db-b cannot be reached")
        return "recovered"

    def set_aside(self):
        raise AssertionError("it was set aside")


def test_nothing_is_begun_anew_while_a_node_out_of_reach_runs(keys, monkeypatch):
    keys.record["members/db-b"] = "{}"
    begun, of = [], tasks.restore_cold
    monkeypatch.setattr(of, "Beside", Node)
    monkeypatch.setattr(of, "require_epoch", lambda *_: None)
    monkeypatch.setattr(of.switch, "stop_database", lambda *_: None)
    monkeypatch.setattr(of, "_keep_scope", lambda *_: None)
    monkeypatch.setattr(scope, "begin_anew", lambda *_: begun.append(1))
    monkeypatch.setattr("tasks.step.journal", SimpleNamespace(write=lambda *_: None))
    with pytest.raises(Permanent, match="db-b"):
        of.swap_in.fn(PLAN, INCIDENT, Infrastructure(how="", host="db-a"), RECOVERED)
    assert begun == []


@pytest.fixture
def started(monkeypatch):
    """Who leads when the restored node was started, and the step's records."""
    now = SimpleNamespace(leads="db-a", records=[])

    def leader(*_):
        if now.leads is None:
            now.leads = "db-a"
            raise Transient("nobody leads yet")
        return SimpleNamespace(name=now.leads, host=now.leads)

    of = tasks.start_restored
    monkeypatch.setattr(of, "require_epoch", lambda *_: None)
    monkeypatch.setattr(of.switch, "start_database", lambda *_: None)
    monkeypatch.setattr(of.patroni, "leader", leader)
    monkeypatch.setattr(of.postgres, "prove_write", lambda *_: NOON)
    monkeypatch.setattr(of.postgres, "position", lambda *_: SimpleNamespace(timeline=2))
    journal = SimpleNamespace(write=lambda *_: None, read_all=lambda *_: now.records)
    monkeypatch.setattr("tasks.step.journal", journal)
    return now


def start(**changed):
    incident = INCIDENT.model_copy(update=changed)
    return tasks.start_restored.start_leader.fn(PLAN, incident, Swapped(host="db-a", kept=()), RECOVERED)


@pytest.mark.parametrize("leads", ["db-a", None])
def test_the_restored_node_leads_first(started, leads):
    started.leads = leads
    assert start().address == "db-a"


@pytest.mark.parametrize("resumed", [True, False])
def test_another_node_that_leads_is_not_accepted(started, resumed):
    started.leads = "db-b"
    with pytest.raises(Permanent, match="db-b leads, not db-a"):
        start(resumed=resumed)


def test_once_the_restored_node_has_led_another_may(started):
    first = start()
    record = StepRecord(
        name="promote PostgreSQL", started=NOON, attempts=1, outcome="done", result=first.model_dump()
    )
    started.records, started.leads = [record.model_dump_json()], "db-b"
    assert start(resumed=True) == first
