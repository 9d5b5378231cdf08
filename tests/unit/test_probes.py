"""The plan's own checks: what holds passes, what does not is found, what does not answer is not known."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.clients import fingerprints
from tasks.clients.etcd import Entry
from tasks.clients.pace import measure
from tasks.clients.probes import ask, differences, execute, filled
from tasks.errors import Permanent, Transient
from tasks.plan.http_probe import HttpProbe
from tasks.plan.load import load_plan
from tasks.plan.validation import CommandProbe

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
WORDS = {"id": "42", "site": "west"}


@contextmanager
def service(status=200, body='{"id": "42", "lines": 2}', delay=0.0):
    """A service with one answer; yields its address and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, json.loads(content) if content else None))
            time.sleep(delay)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = handle_any  # noqa: N815 - http.server calls them by these names

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_request_is_made_as_the_plan_says_with_its_words():
    wanted = HttpProbe(
        method="POST", path="/orders/{id}", body={"id": "{id}", "lines": 2}, fields={"id": "{id}"}
    )
    with service() as (url, asked):
        assert ask(url, wanted, WORDS).startswith("POST /orders/{id}: 200")
    assert asked == [("POST", "/orders/42", {"id": "42", "lines": 2})]


@pytest.mark.parametrize(
    ("told", "wanted", "found"),
    [
        ({"status": 503, "body": "no"}, {}, "did not answer 200"),
        ({"status": 200}, {"status": 422}, "did not answer 422"),
        ({}, {"fields": {"lines": 3}}, "does not hold"),
        ({"body": "<html>"}, {"fields": {"lines": 2}}, "no JSON"),
        ({"delay": 1.3}, {"within": "1 second"}, "was too slow"),
    ],
)
def test_a_wrong_answer_is_found(told, wanted, found):
    with service(**told) as (url, _), pytest.raises(Permanent, match=found):
        ask(url, HttpProbe(path="/orders", **wanted), WORDS)


def test_nobody_there_is_not_known():
    with service() as (url, _):
        pass
    with pytest.raises(Transient, match="does not answer"):
        ask(url, HttpProbe(path="/orders"), WORDS)


@pytest.mark.parametrize(
    ("answer", "fields", "holds"),
    [
        ({"a": {"b": 1}}, {"a.b": 1}, True),
        ({"a": {"b": 1}}, {"a.b": 2}, False),
        ({"a": {"b": 1}}, {"a.c": 1}, False),
        ({"a": True}, {"a": 1}, False),
        ([{"id": 1}, {"id": 2, "n": 1}], {"id": 2, "n": 1}, True),
        ([{"id": 1, "n": 1}, {"id": 2}], {"id": 2, "n": 1}, False),
        ([], {"id": 1}, False),
        ("text", {"id": 1}, False),
    ],
)
def test_fields_hold_in_an_answer_or_in_one_item_of_a_list(answer, fields, holds):
    assert (differences(answer, fields) == []) is holds


def test_words_are_filled_in_everywhere_and_other_braces_stay():
    value = {"a": ["{id}-{site}", 7], "b": {"c": "{other} {id}"}}
    assert filled(value, WORDS) == {"a": ["42-west", 7], "b": {"c": "{other} 42"}}


@pytest.fixture
def local(tmp_path):
    """A plan whose remote shell is this machine's own."""
    shell = tmp_path / "on"
    shell.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
    shell.chmod(0o755)
    access = PLAN.access.model_copy(update={"shell": f"{shell} {{address}}", "root": "/srv/{host}"})
    return PLAN.model_copy(update={"access": access})


def test_a_command_is_run_on_each_host_and_its_exit_code_told(local):
    same = CommandProbe(program="service", argv=("sh", "-c", "echo {root} {host}; exit 3"), exit_code=3)
    assert execute(local, "us-east-1", same, WORDS) == "exit 3 on app-east-1, app-east-2"
    with pytest.raises(Permanent, match="app-east-1 did not exit 0") as found:
        execute(local, "us-east-1", same.model_copy(update={"exit_code": 0}), WORDS)
    assert found.value.detail == "3: /srv/app-east-1 app-east-1"


def test_an_argument_is_no_shell_code(local):
    wanted = CommandProbe(program="service", argv=("test", "$(id)", "=", "$" + "(id)"))
    assert execute(local, "us-east-1", wanted, WORDS).startswith("exit 0")


def test_a_pace_is_bounded_by_requests_and_by_time():
    with service() as (url, asked):
        times, errors, _ = measure(url, requests=20, concurrency=3, limit=10)
        assert (len(times), errors, len(asked)) == (20, 0, 20)
    with service(delay=0.2) as (url, asked):
        times, errors, took = measure(url, requests=10_000, concurrency=2, limit=0.5)
        assert len(times) == len(asked) <= 8
        assert min(times) > 0.2
        assert took < 1.5


def test_failed_requests_are_counted_apart():
    with service(status=503) as (url, _):
        assert measure(url, requests=5, concurrency=2, limit=5)[:2] == ([], 5)


class Etcd:
    def __init__(self):
        self.kept = {}

    def get(self, key):
        return Entry(self.kept.get(key), 1)

    def swap(self, key, value, _revision):
        self.kept.setdefault(key, value)
        return True


@pytest.fixture
def secrets(monkeypatch):
    etcd, texts = Etcd(), {"redis": "hunter2", "patroni_api": "hunter3"}

    def read(_plan, name):
        if name not in texts:
            raise Permanent("gone")
        return texts[name]

    monkeypatch.setattr(fingerprints, "etcd_of", lambda _plan: etcd)
    monkeypatch.setattr(type(PLAN), "secret", read)
    return etcd, texts


def test_a_rotated_secret_differs_from_its_fingerprint_and_one_that_was_not_does_not(secrets):
    _, texts = secrets
    before = fingerprints.take(PLAN, "inc-1", ["redis", "patroni_api", "lost"])
    assert before.keys() == {"redis", "patroni_api"}
    assert not any(text in str(before) for text in texts.values())
    texts["redis"] = "hunter4"
    changed = {name: fingerprints.is_changed(PLAN, "inc-1", name, before[name]) for name in before}
    assert changed == {"redis": True, "patroni_api": False}


def test_fingerprints_are_keyed_anew_for_each_incident_and_not_compared_without_their_key(secrets):
    etcd, _ = secrets
    one, other = (fingerprints.take(PLAN, name, ["redis"])["redis"] for name in ("inc-1", "inc-2"))
    assert one != other
    assert fingerprints.take(PLAN, "inc-1", ["redis"])["redis"] == one
    etcd.kept.clear()
    with pytest.raises(Transient, match="is gone"):
        fingerprints.is_changed(PLAN, "inc-1", "redis", one)


def test_where_nothing_must_be_rotated_nothing_is_asked():
    assert fingerprints.take(PLAN, "inc-1", ()) == {}
