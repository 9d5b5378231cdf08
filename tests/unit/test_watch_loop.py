"""A vantage at work: it goes on whatever fails beside it, and what it declares reaches Prefect once."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address

import pytest
from test_watch_policy import record
from typer.testing import CliRunner
from watch_simulation import Simulation
from watch_world import ARCHIVE, DR, PLAN, PRIMARY, RULE

from deployments import watch, watch_commands
from deployments.cli import app
from deployments.events import Event
from deployments.outbox import RESPONSE, Declaration, Outbox
from deployments.trigger import Api
from tasks.clients.reach import ports_of, require_answer
from tasks.errors import Transient
from tasks.facts.watch import Suspicion, Told
from tasks.policy.watch import rule_of
from tasks.watching import lease_state, vantages_of

DUE = Declaration("respond-us-east-1-0-x", {"source": "automated_monitoring"})

NOBODY = "127.99.99.97"


class Prefect:
    """What Prefect's API does with an event and a run, as a real server; `status` is what it answers now."""

    def __init__(self):
        self.status, self.events, self.runs, self.asked = 200, [], [], 0
        prefect = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer({"id": "deployment-1"})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if prefect.status < 400 and self.path == "/api/events":
                    prefect.events += [(it["event"], it["resource"]["prefect.resource.id"]) for it in body]
                elif prefect.status < 400:
                    prefect.runs.append(body)
                self.answer({"id": "run-1"})

            def answer(self, found):
                prefect.asked += 1
                told = json.dumps(found).encode()
                self.send_response(prefect.status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.api = Api(f"http://127.0.0.1:{self.server.server_port}/api", "admin:open-sesame")


@pytest.fixture
def prefect():
    prefect = Prefect()
    with prefect.server:
        thread = threading.Thread(target=prefect.server.serve_forever)
        thread.start()
        yield prefect
        prefect.server.shutdown()
        thread.join(10)


def until(true, seconds=10):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def event(name):
    return Event(name, f"naas-dr.site.{PRIMARY}", {})


def test_a_declaration_is_sent_once_and_before_the_events(prefect):
    outbox = Outbox(prefect.api)
    outbox.tell(event("a"))
    outbox.tell(event("b"))
    outbox.declare(DUE)
    assert outbox.send()
    outbox.declare(DUE)
    assert outbox.send()
    assert prefect.runs == [{"parameters": DUE.parameters, "idempotency_key": DUE.key}]
    assert outbox.run_of(DUE.key) == "run-1"
    assert prefect.events == [("a", "naas-dr.site.us-east-1"), ("b", "naas-dr.site.us-east-1")]


def test_a_server_that_is_away_is_told_when_it_is_back(prefect):
    prefect.status = 503
    outbox = Outbox(prefect.api, again_s=0.05)
    outbox.begin()
    outbox.tell(event("a"))
    outbox.declare(DUE)
    until(lambda: outbox.failing() is not None)
    assert prefect.runs == prefect.events == []
    prefect.status = 200
    until(lambda: prefect.runs and prefect.events)
    until(lambda: outbox.failing() is None)


def test_what_is_not_due_any_more_is_not_declared(prefect):
    prefect.status = 503
    outbox = Outbox(prefect.api)
    outbox.declare(DUE)
    assert not outbox.send()
    prefect.status = 200
    outbox.declare(None)
    assert outbox.send()
    assert prefect.runs == []


def test_a_missing_response_is_asked_for_again_and_holds_up_no_event(prefect):
    prefect.status = 404
    outbox = Outbox(prefect.api)
    outbox.declare(DUE)
    assert not outbox.send()
    outbox.tell(event("refused, and dropped"))
    assert not outbox.send()
    prefect.status = 200
    assert outbox.send()
    assert len(prefect.runs) == 1
    assert prefect.events == []


def test_nobody_listens(prefect):
    outbox = Outbox(Api("http://127.0.0.1:9/api", ""))
    outbox.tell(event("a"))
    assert not outbox.send()
    assert "does not answer" in outbox.failing()[1]


class Stubborn:
    """A watch whose parts fail now and then."""

    def __init__(self):
        self.looks = self.judgements = 0
        self.over = False

    def look(self):
        self._end()
        self.looks += 1
        if self.looks % 2:
            raise KeyError("nobody foresaw this")

    def judge(self):
        self._end()
        self.judgements += 1
        raise ZeroDivisionError("nor this")

    def _end(self):
        if self.over:
            threading.Event().wait()  # its threads are the process's to end

    def wait_s(self):
        return 0.01

    def next_look_s(self):
        return 0.0


def test_the_loop_outlives_what_nobody_foresaw(monkeypatch):
    monkeypatch.setattr(watch, "_AGAIN_S", 0.01)
    stubborn = Stubborn()
    thread = threading.Thread(target=watch.keep, args=(stubborn,), daemon=True)
    thread.start()
    until(lambda: stubborn.looks > 5 and stubborn.judgements > 5)
    stubborn.over = True
    assert thread.is_alive()


def test_a_silent_prefect_is_a_finding_after_a_while_and_changes_nothing_else():
    world = Simulation([], 1)
    vantage = world.vantages[DR]
    vantage.failing = lambda: (vantage.clock().day - timedelta(seconds=31), "it does not answer")
    world.run(60)
    assert vantage.watch.standing.verdict == "healthy"
    assert [each.name for each in vantage.watch.record.findings] == ["Prefect"]


def test_the_declaration_carries_the_evidence_of_every_vantage():
    world = Simulation([], 1)
    vantage = world.vantages[DR]
    world.run(30)
    due = vantage.watch._declaration(told_with_suspicion(), vantage.clock())
    assert set(due.parameters) == {"reason", "detected_at", "source", "site", "evidence"}
    assert due.parameters["source"] in {step.name for step in PLAN.disaster_recovery.detection}
    assert set(json.loads(due.parameters["evidence"])) == {DR, ARCHIVE}
    assert json.dumps(due.parameters)


def told_with_suspicion():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Told(active=PRIMARY, suspicion=Suspicion(site=PRIMARY, epoch=0, detected_at=now))


@pytest.mark.parametrize(
    ("held", "unrenewed_s", "state"),
    [
        (True, 0, "renewed"),
        (True, 8, "renewed"),
        (True, 9, "ended"),
        (True, None, "ended"),
        (False, None, "ended"),
    ],
)
def test_a_leader_key_that_is_not_renewed_has_ended(held, unrenewed_s, state):
    assert RULE.renewal == 8
    assert lease_state(held, unrenewed_s, RULE) == state


def test_hosts_are_asked_on_the_ports_of_what_they_run():
    assert ports_of(PLAN, PRIMARY, "postgres-primary") == (8008, 5432)
    assert ports_of(PLAN, PRIMARY, "storage-east") == (8333,)
    assert ports_of(PLAN, PRIMARY, "app-east-2") == (8000, 26379)
    assert ports_of(PLAN, ARCHIVE, "control-archive") == ()


def test_a_host_that_refuses_every_port_is_silent():
    archive = PLAN.sites[ARCHIVE]
    # A lab on this machine has the plan's own address.
    host = archive.hosts["etcd-archive"].model_copy(update={"address": IPv4Address(NOBODY)})
    site = archive.model_copy(update={"hosts": {"etcd-archive": host}})
    with pytest.raises(Transient, match="no port of etcd-archive answers"):
        require_answer(PLAN.model_copy(update={"sites": {ARCHIVE: site}}), ARCHIVE, "etcd-archive", 1.0)


def test_the_shipped_plan_watches_from_two_sites():
    assert vantages_of(PLAN) == (DR, ARCHIVE)
    assert rule_of(PLAN) == RULE
    assert RESPONSE == "respond"


def shown(monkeypatch, told, *options):
    class Board:
        def __init__(self, *_):
            pass

        def read(self, _site):
            return told

    monkeypatch.setattr(watch_commands, "Exchange", Board)
    monkeypatch.setattr(watch_commands, "active_plan", lambda: PLAN)
    monkeypatch.setattr(watch_commands, "active_site", lambda _plan: PRIMARY)
    return CliRunner().invoke(app, ["watch", *options])


def told(**verdicts):
    records = {
        site: (record(site, verdict, "healthy").model_copy(update={"at": datetime.now(UTC)}), 1)
        for site, verdict in verdicts.items()
    }
    return Told(active=PRIMARY, records=records)


def test_dr_watch_is_content_when_every_vantage_is(monkeypatch):
    result = shown(monkeypatch, told(**{DR: "healthy", ARCHIVE: "healthy"}))
    assert result.exit_code == 0, result.output
    assert "us-east-1 at" in result.output


def test_dr_watch_fails_where_a_vantage_is_silent_or_sees_worse(monkeypatch):
    result = shown(monkeypatch, told(**{DR: "site_failure"}))
    assert result.exit_code == 1
    assert "never seen" in result.output
    assert "site_failure" in result.output
    assert "us-west-2: x: silent" in result.output
    old = Told(active=PRIMARY, records={site: (record(site, "healthy"), 1) for site in (DR, ARCHIVE)})
    result = shown(monkeypatch, old)
    assert result.exit_code == 1
    assert "silent" in result.output


def test_dr_watch_as_json(monkeypatch):
    result = shown(monkeypatch, told(**{DR: "healthy", ARCHIVE: "healthy"}), "--json")
    assert json.loads(result.output)["vantages"][DR]["verdict"] == "healthy"


def test_dr_watch_without_quorum_says_so(monkeypatch):
    result = shown(monkeypatch, Told())
    assert isinstance(result.exception, Transient)
