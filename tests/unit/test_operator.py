"""What an operator types: wrong words are refused with the next action, and nothing is lost by them."""

import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments import cli, starting
from deployments.trigger import trigger
from tasks.errors import Refused, Transient

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    file = tmp_path / "plan.yaml"
    shutil.copy(PLAN, file)
    monkeypatch.setenv("DR_PLAN", str(file))
    return file


def typed(*words):
    return CliRunner().invoke(cli.app, list(words))


def test_a_plan_is_never_written_over_by_its_own_picture(plan, tmp_path):
    before = plan.read_text()
    assert isinstance(typed("plan", "impact", str(plan)).exception, Refused)
    assert plan.read_text() == before
    page = tmp_path / "impact.html"
    assert typed("plan", "impact", str(page)).exit_code == 0
    assert "<svg" in page.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nonsense=1", "into=/tmp/x"), "unexpected keyword argument 'nonsense'"),
        ((), "missing a required argument: 'into'"),
        (("into=/tmp/x", "at=yesterday"), "at: "),
        (("into=/tmp/x", "snapshot=12345678"), "in quotes"),
        (("into=/tmp/x", "into=/tmp/y"), "twice"),
    ],
)
def test_parameters_that_a_flow_does_not_take_are_refused_before_it_begins(plan, words, told):
    given = [word for pair in words for word in ("--param", pair)]
    refused = typed("run", "restore-files", *given).exception
    assert isinstance(refused, Refused)
    assert told in str(refused)


@pytest.mark.parametrize(("status", "refused"), [(404, True), (409, True), (503, False)])
def test_what_prefect_does_not_start_is_refused(plan, monkeypatch, status, refused):
    with answering(status) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setattr(starting, "trigger", partial(trigger, timeout=0))
        ended = typed("trigger", "fail-ovr")
    assert isinstance(ended.exception, Refused if refused else Transient)


@contextmanager
def answering(status):
    """A Prefect that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
