"""The little of Prefect's API that its engine needs, answered inside this process.

Prefect's engine drives a flow's tasks, retries, timeouts and kept results by itself; of its server it asks
only that the run and its states be written down. Here they are held in memory, so that a recovery can run
when the server, its database and its network are gone. Nothing is scheduled, limited or shown.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

Answer = tuple[int, Any]


class Record:
    """The runs of one process: the flow, the flows that it calls, and the tasks that stand for those."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Answer one request as Prefect's server does; 404 for whatever no flow needs."""
        match method, path.strip("/").split("/"):
            case "POST", ["flow_runs" | "task_runs"]:
                found: Answer = 201, self._create(body)
            case "POST", [_, run, "set_state"] if run in self._runs:
                found = 201, self._set_state(run, body["state"])
            case "GET", [_, run] if run in self._runs:
                found = 200, self._runs[run]
            case "POST", [_, "filter"]:
                found = 200, []
            case "POST", ["flows" | "artifacts"]:
                found = 201, {**body, **_identity()}
            case "PATCH", _:
                found = 204, None
            case _:
                found = 404, {"detail": "not found"}
        return found

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        run = {**body, **_identity()}
        self._runs[run["id"]] = run
        self._set_state(run["id"], body["state"])
        return run

    def _set_state(self, run: str, proposed: dict[str, Any]) -> dict[str, Any]:
        if proposed.get("type") == "PAUSED":  # nobody could fill in the form that it waits for
            reason = {"type": "abort_details", "reason": "no server is there to resume it"}
            return {"status": "ABORT", "details": reason, "state": None}
        state = {**proposed, "id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat()}
        self._runs[run]["state"] = state
        return {"status": "ACCEPT", "details": {"type": "accept_details"}, "state": state}


def _identity() -> dict[str, str]:
    now = datetime.now(UTC).isoformat()
    return {"id": str(uuid4()), "created": now, "updated": now}


@contextmanager
def offline_api() -> Iterator[str]:
    """Serve a `Record` on a loopback port of its own; gives the API's base URL."""
    record = Record()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = record.answer(self.command, self.path.removeprefix("/api"), body)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - http.server calls them by these names

        def log_message(self, *_: object) -> None:
            """The engine's own log tells all of it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
