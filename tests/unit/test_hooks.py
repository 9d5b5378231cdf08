"""The git hook against a real HTTP server: what it sends, to whom, and that it never holds git up."""

import base64
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.hooks import EVENT, install_hook
from tasks.errors import Refused


@pytest.fixture
def heard():
    """A server that takes events slowly, and what it heard."""
    requests = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self):
            time.sleep(1)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api", requests
        server.shutdown()
        thread.join(10)


def git(folder, *arguments):
    argv = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


def until(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("password", ["open-sesame", 'quo"te\\slash $(id) %s'])
def test_a_commit_and_a_push_are_told(heard, tmp_path, password):
    api, requests = heard
    secret = tmp_path / "it's a secret"
    secret.write_text(f"{password}\n")
    git(tmp_path, "init", "--quiet", "work")
    git(tmp_path, "init", "--quiet", "--bare", "shared")
    install_hook(tmp_path / "work", "infrastructure", api, "admin", secret)
    install_hook(tmp_path / "work", "infrastructure", api, "admin", secret)
    install_hook(tmp_path / "shared", "application", api, "admin", secret)
    begun = time.monotonic()
    git(tmp_path / "work", "commit", "--quiet", "--allow-empty", "--message", "one")
    assert time.monotonic() - begun < 1, "git does not wait for the server"
    until(lambda: len(requests) == 1)
    git(tmp_path / "work", "push", "--quiet", str(tmp_path / "shared"), "HEAD:refs/heads/main")
    until(lambda: len(requests) == 2)
    for (path, authorization, [event]), name in zip(requests, ("infrastructure", "application"), strict=True):
        assert path == "/api/events"
        assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"admin:{password}"
        assert event["event"] == EVENT
        assert event["resource"] == {"prefect.resource.id": f"naas-dr.repository.{name}"}
        assert event["payload"] == {"repository": name}
    assert requests[0][2][0]["id"] != requests[1][2][0]["id"]


def test_a_hook_of_somebody_else_stays(tmp_path):
    git(tmp_path, "init", "--quiet", "work")
    theirs = tmp_path / "work/.git/hooks/post-commit"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("#!/bin/sh\n")
    with pytest.raises(Refused, match="already"):
        install_hook(
            tmp_path / "work", "infrastructure", "http://127.0.0.1:4200/api", "admin", tmp_path / "s"
        )
    assert theirs.read_text() == "#!/bin/sh\n"


def test_a_work_tree_of_another_repository_is_refused(tmp_path):
    git(tmp_path, "init", "--quiet", "main")
    git(tmp_path / "main", "commit", "--quiet", "--allow-empty", "--message=first")
    git(tmp_path / "main", "worktree", "add", "--quiet", str(tmp_path / "beside"))
    with pytest.raises(Refused, match="no git repository"):
        install_hook(tmp_path / "beside", "infrastructure", "http://127.0.0.1/api", "admin", tmp_path)
    assert not (tmp_path / "beside" / "hooks").exists()
