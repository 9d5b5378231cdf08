"""The door for notices, served by uvicorn on loopback, before a Prefect API that is a real HTTP server."""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import uvicorn
import yaml

from deployments.notice_formats import FORMATS
from deployments.notices import LARGEST, RESPOND, Allowance, Door, create_app
from deployments.trigger import Api
from infra.lab.control import control_servers
from infra.lab.home import Home
from infra.lab.secrets import make_secrets
from infra.platform.metrics import NOTICES_PORT
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deployments" / "plan.yaml"
PLAN = load_plan(SHIPPED)
# The control host of a plan of our own: a lab may be running with the shipped one.
ADDRESS = "127.77.1.71"
TOKEN = "a-token-that-nobody-guesses"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Prefect(ThreadingHTTPServer):
    """The two requests that start a run: the same key is the same run, as Prefect has it."""

    def __init__(self):
        self.forget()
        super().__init__(("127.0.0.1", 0), _Answers)

    def forget(self):
        self.runs, self.asked = {}, []
        # The first `healthy` requests for a run are answered, the others with `failing` where it is set.
        self.healthy, self.failing = 0, 0

    @property
    def api(self):
        return Api(f"http://127.0.0.1:{self.server_port}/api", "admin:open-sesame")


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == f"/api/deployments/name/{RESPOND}/{RESPOND}"
        self._answer(200 if known else 404, {"id": "d-1"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        if self.server.failing and len(self.server.asked) > self.server.healthy:
            self._answer(self.server.failing, {})
        else:
            runs = self.server.runs
            run = runs.setdefault(body["idempotency_key"], f"run-{len(runs) + 1}")
            self._answer(201, {"id": run})

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def _prefect():
    with Prefect() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@contextmanager
def serving(api, allowance=None):
    door = Door(PLAN, TOKEN, api, allowance or Allowance(1000))
    server = uvicorn.Server(uvicorn.Config(create_app(door), host="127.0.0.1", port=0, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def prefect(_prefect):
    _prefect.forget()
    return _prefect


@pytest.fixture(scope="module")
def _served(_prefect):
    with serving(_prefect.api) as client:
        yield client


@pytest.fixture
def door(_served, prefect):
    return _served


def notice(**changes):
    ago = datetime.now(UTC) - timedelta(minutes=1)
    return {"site": "us-east-1", "reason": "dark", "detected_at": ago.isoformat(), "key": "k-1"} | changes


def test_a_notice_starts_one_run_however_often_it_comes(door, prefect):
    told = notice()
    answers = [door.post("/notices/plain", json=told, headers=BEARER) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    key = "notice:plain:us-east-1:k-1"
    expected = {"runs": [{"site": "us-east-1", "flow_run_id": "run-1", "idempotency_key": key}]}
    assert [answer.json() for answer in answers] == [expected] * 3
    assert prefect.runs == {key: "run-1"}
    path, authorization, body = prefect.asked[0]
    assert path == "/api/deployments/d-1/create_flow_run"
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"admin:open-sesame"
    assert body["idempotency_key"] == key
    assert body["parameters"] == {
        "reason": "dark",
        "detected_at": told["detected_at"],
        "source": "external_notification",
        "site": "us-east-1",
        "evidence": "plain, severity critical: k-1",
    }


def test_other_keys_are_other_runs(door, prefect):
    runs = []
    for key in ("k-1", "k-2", "k-1"):
        answer = door.post("/notices/plain", json=notice(key=key), headers=BEARER)
        runs += [run["flow_run_id"] for run in answer.json()["runs"]]
    assert runs == ["run-1", "run-2", "run-1"]
    assert len(prefect.runs) == 2


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Basic ?", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Digest {TOKEN}",
        basic(TOKEN, ""), basic("sns", "wrong"), "Bearer \xff", f"Bearer {TOKEN.upper()}",
    ],
)  # fmt: skip
def test_whoever_does_not_know_the_token_is_not_heard(door, prefect, header):
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for path in ("/notices/plain", "/notices/nothing"):
        answer = door.post(path, json=notice(), headers=headers)
        assert answer.status_code == 401
        assert TOKEN not in answer.text
    assert prefect.asked == []


@pytest.mark.parametrize("header", [f"bearer {TOKEN}", basic("sns", TOKEN), basic("", TOKEN)])
def test_the_token_is_known_in_each_way_that_senders_have(door, header):
    assert door.post("/notices/plain", json=notice(), headers={"Authorization": header}).status_code == 202


def test_too_much_is_not_read(door, prefect):
    body = json.dumps(notice(reason="x")).encode()
    media = {**BEARER, "Content-Type": "application/json"}
    just = body + b" " * (LARGEST - len(body))
    assert door.post("/notices/plain", content=just, headers=media).status_code == 202
    assert door.post("/notices/plain", content=just + b" ", headers=media).status_code == 413
    parts = (just[at : at + 1000] for at in range(0, len(just), 1000))
    assert door.post("/notices/plain", content=_endless(parts), headers=media).status_code == 413
    assert len(prefect.asked) == 1


def _endless(parts):
    yield from parts
    yield b" "


@pytest.mark.parametrize("media", ["text/plain; charset=UTF-8", "application/json"])
def test_json_by_either_name(door, media):
    headers = {**BEARER, "Content-Type": media}
    answer = door.post("/notices/plain", content=json.dumps(notice()), headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "application/xml", ""])
def test_other_media_are_not_understood(door, media):
    answer = door.post("/notices/plain", content=b"{}", headers={**BEARER, "Content-Type": media})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 10_000, b"null", b"[]", b'"\\ud800"']
)
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_notice_is_refused(door, prefect, name, body):
    answer = door.post(
        f"/notices/{name}", content=body, headers={**BEARER, "Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert prefect.asked == []


def test_a_site_that_the_plan_lacks_is_refused_with_those_it_has(door, prefect):
    answer = door.post("/notices/plain", json=notice(site="mars"), headers=BEARER)
    assert answer.status_code == 422
    assert "us-east-1, us-west-2, eu-west-1" in answer.json()["detail"]
    assert prefect.asked == []


def test_what_asks_for_nothing_starts_nothing(door, prefect):
    body = {"version": "4", "status": "resolved", "alerts": []}
    answer = door.post("/notices/alertmanager", json=body, headers=BEARER)
    assert (answer.status_code, answer.json()["runs"]) == (200, [])
    assert prefect.asked == []


def test_there_is_nothing_else(door):
    answer = door.post("/notices/nothing", json=notice(), headers=BEARER)
    assert answer.status_code == 404
    assert "aws-health" in answer.json()["detail"]
    assert door.get("/notices/plain", headers=BEARER).status_code == 405
    assert {door.get(path).status_code for path in ("/", "/docs", "/openapi.json")} == {404}


@pytest.mark.parametrize("status", [500, 503, 429, 404, 409])
def test_a_notice_is_not_accepted_before_its_run_is_there(door, prefect, status):
    prefect.failing = status
    answer = door.post("/notices/plain", json=notice(), headers=BEARER)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert prefect.asked
    prefect.failing = 0
    assert door.post("/notices/plain", json=notice(), headers=BEARER).status_code == 202


def test_a_deployment_that_is_not_there_is_not_success(prefect, monkeypatch, caplog):
    monkeypatch.setattr("deployments.notices.RESPOND", "absent")
    with serving(prefect.api) as client:
        assert client.post("/notices/plain", json=notice(), headers=BEARER).status_code == 503
    assert "the Prefect API refuses" in caplog.text


def test_no_prefect_at_all():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        api = Api(f"http://127.0.0.1:{taken.getsockname()[1]}/api", "admin:x")
        with serving(api) as client:
            answer = client.post("/notices/plain", json=notice(), headers=BEARER)
    assert answer.status_code == 503
    assert "admin" not in answer.text


def test_half_of_several_runs_is_not_success(door, prefect):
    def alert(site):
        labels = {"alertname": "Dark", "disaster": "true", "site": site}
        starts = datetime.now(UTC).isoformat()
        return {"status": "firing", "labels": labels, "startsAt": starts, "fingerprint": site}

    body = {"version": "4", "alerts": [alert("us-east-1"), alert("us-west-2")]}
    prefect.healthy, prefect.failing = 1, 503
    assert door.post("/notices/alertmanager", json=body, headers=BEARER).status_code == 503
    assert len(prefect.runs) == 1
    prefect.failing = 0
    answer = door.post("/notices/alertmanager", json=body, headers=BEARER)
    assert answer.status_code == 202
    assert {run["site"] for run in answer.json()["runs"]} == {"us-east-1", "us-west-2"}
    assert len(prefect.runs) == 2


def test_a_small_rate():
    clock = [0.0]
    allowance = Allowance(2, 3.0, lambda: clock[0])
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    clock[0] = 2.9
    assert not allowance.take()
    clock[0] = 3.1
    assert [allowance.take(), allowance.take()] == [True, False]
    clock[0] = 1000.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_beyond_the_rate_the_sender_waits_and_strangers_use_none_of_it(prefect):
    with serving(prefect.api, Allowance(1, 1000.0)) as client:
        for _ in range(5):
            assert client.post("/notices/plain", json=notice()).status_code == 401
        assert client.post("/notices/plain", json=notice(), headers=BEARER).status_code == 202
        answer = client.post("/notices/plain", json=notice(), headers=BEARER)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_the_token_is_in_no_repr(prefect):
    assert TOKEN not in repr(Door(PLAN, TOKEN, prefect.api))


@pytest.fixture
def own_plan(tmp_path):
    """A plan file with its secrets beside it."""

    def write(change=lambda _: None):
        document = yaml.safe_load(SHIPPED.read_text())
        document["sites"]["us-west-2"]["hosts"]["control-west"]["address"] = ADDRESS
        change(document)
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        make_secrets(load_plan(path), tmp_path)
        return path

    return write


def started(plan, **env):
    argv = [sys.executable, "-W", "ignore", "-m", "deployments.notices"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DR_PLAN": str(plan), **env}
    return subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)


def test_without_a_token_it_does_not_start_and_says_why(own_plan):
    process = started(
        own_plan(lambda plan: plan["secrets"].pop("notices_token")), PREFECT_API_URL="http://x/api"
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "secrets.notices_token" in said
    assert "Traceback" not in said


def test_the_process_serves_the_control_hosts_address_only(own_plan, prefect):
    plan = own_plan()
    token = (plan.parent / "secrets" / "notices_token").read_text()
    process = started(plan, PREFECT_API_URL=prefect.api.url, PREFECT_API_AUTH_STRING=prefect.api.password)
    url = f"http://{ADDRESS}:{NOTICES_PORT}/notices/plain"
    try:
        answer = until_answered(url, token)
        assert answer.status_code == 202
        with pytest.raises(httpx.ConnectError):
            httpx.post(url.replace(ADDRESS, "127.0.0.1"), json=notice(), trust_env=False)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert token not in said
    assert "run-1 for us-east-1" in said


def until_answered(url, token):
    deadline = time.monotonic() + 60
    while True:
        try:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.post(url, json=notice(), headers=headers, trust_env=False, timeout=10)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_prefect_is_not_imported():
    code = "import sys, deployments.notices; sys.exit('prefect' in sys.modules)"
    argv = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(argv, check=True, timeout=60, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("with_token", [True, False])
def test_the_lab_starts_it_where_the_plan_has_a_token(own_plan, with_token):
    path = own_plan() if with_token else own_plan(lambda plan: plan["secrets"].pop("notices_token"))
    home = Home(path.parent)
    home.begin("loopback", path.read_text())
    servers = control_servers(home, home.plan(), "us-west-2", "control-west")
    found = [server for server in servers if server.key.endswith("/notices")]
    assert [(server.address, server.port) for server in found] == [(ADDRESS, NOTICES_PORT)] * with_token
    token = path.parent / "secrets" / "notices_token"
    assert token.exists() == with_token
    assert not any(token.read_text() in str(server) for server in found)
