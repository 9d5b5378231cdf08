"""A recovery proves that users are served by what the plan writes and reads, whatever the service is."""

import json
import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError
from servers import running

from tasks.clients.service import round_trip
from tasks.errors import Permanent, Transient
from tasks.plan.http_probe import Proof
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments/plan.yaml")
WEST = "us-west-2"
NOTES = {
    "write": {"method": "PUT", "path": "/notes/{id}", "body": {"text": "note {id}"}, "within": "1 second"},
    "read": {"path": "/notes/{id}", "fields": {"note.text": "note {id}"}, "within": "1 second"},
    "served_by": "meta.region",
}


def proving(told):
    service = PLAN.service.model_copy(update={"proof": Proof.model_validate(told)})
    return PLAN.model_copy(update={"service": service})


@contextmanager
def notes(region=WEST, change=lambda text: text, status=200, page=None):
    """A service that keeps notes by their key; `change` is what it does to a text before it keeps it."""
    kept = {}

    class Notes(BaseHTTPRequestHandler):
        def do_PUT(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept[self.path] = change(asked["text"])
            self.answer({"meta": {"region": region}})

        def do_GET(self):
            self.answer({"note": {"text": kept[self.path]}})

        def answer(self, told):
            content = page or json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_another_service_than_ours_proves_itself():
    with notes() as url:
        assert round_trip(proving(NOTES), url) == WEST


def test_what_is_read_must_be_what_was_written():
    with notes(change=str.upper) as url, pytest.raises(Permanent, match="another than was written") as raised:
        round_trip(proving(NOTES), url)
    assert "note.text" in raised.value.detail


def test_what_the_write_answers_must_be_what_the_plan_says():
    told = NOTES | {"write": NOTES["write"] | {"fields": {"meta.kept": True}}}
    with notes() as url, pytest.raises(Permanent, match="another than was written") as raised:
        round_trip(proving(told), url)
    assert "meta.kept" in raised.value.detail


@pytest.mark.parametrize("region", [None, "atlantis", {"name": WEST}])
def test_the_answer_must_name_a_site_of_the_plan(region):
    with notes(region=region) as url, pytest.raises(Permanent, match="which site took it") as raised:
        round_trip(proving(NOTES), url)
    assert raised.value.hint == "service.proof.served_by"


@pytest.mark.parametrize("wrong", [{"status": 503}, {"page": b"<html>please wait</html>"}])
def test_a_service_that_is_not_ready_yet_is_asked_again(wrong):
    with notes(**wrong) as url, pytest.raises(Transient, match="does not answer"):
        round_trip(proving(NOTES), url)


def test_silence_is_waited_for_no_longer_than_the_plan_says():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Transient, match="does not answer"):
        round_trip(proving(NOTES), f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        ("write", {"method": "GET"}, "write by POST, PUT or PATCH"),
        ("read", {"method": "POST"}, "read by GET"),
        ("read", {"path": "/notes"}, "in the read's path"),
        ("write", {"path": "/notes", "body": {"text": "a note"}}, "in the write's path or body"),
    ],
)
def test_a_proof_that_proves_nothing_is_refused(part, change, why):
    with pytest.raises(ValidationError, match=why):
        Proof.model_validate({**NOTES, part: NOTES[part] | change})
