"""Elasticsearch's bulk API as a real HTTP server, strict about what it is sent, and flaky when told to be."""

import json
import random
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers import running

API_KEY = "bm90LWEta2V5OnRoYXQtYW55Ym9keS1ndWVzc2Vz"


class Elasticsearch(ThreadingHTTPServer):
    """Holds documents by index and id; `create` of one that is there is a conflict.

    Attributes:
        documents: what is there, in the order of its arrival.
        moods: what a request meets: "fine", "busy" (429), "broken" (500), "dropped" (kept, not answered),
            "partly" (429 for every second document).
        refused: texts; a document that holds one is refused with 400.
    """

    daemon_threads = True

    def __init__(self, port=0, documents=None):
        self.documents = documents if documents is not None else {}
        self.moods, self.refused, self.requests = ["fine"], [], 0
        self.chance = random.Random(7)  # noqa: S311 -- no secret
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Bulk)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def sources(self):
        with self.lock:
            return [json.loads(source) for source in self.documents.values()]

    def handle_error(self, *_):
        """A sender that was killed tells nothing."""


class _Bulk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        with server.lock:
            server.requests += 1
            mood = server.chance.choice(server.moods)
            status, answer = self._refusal(mood) or self._take(body, mood)
        if mood == "dropped":
            self.close_connection = True
        else:
            self._answer(status, answer)

    def _refusal(self, mood):
        if self.path != "/_bulk" or self.headers["Content-Type"] != "application/x-ndjson":
            return 406, {"error": "not NDJSON"}
        if self.headers["Authorization"] != f"ApiKey {API_KEY}":
            return 401, {"error": "unknown key"}
        return {"busy": (429, {"error": "queue is full"}), "broken": (500, {"error": "broken"})}.get(mood)

    def _take(self, body, mood):
        try:
            items = [self._create(*each, mood, number) for number, each in enumerate(_pairs(body))]
        except ValueError as error:
            return 400, {"error": str(error)}
        errors = any(item["create"]["status"] >= 300 for item in items)
        return 200, {"took": 1, "errors": errors, "items": items}

    def _create(self, action, source, mood, number):
        [(verb, target)] = action.items()
        if verb != "create" or set(target) != {"_index", "_id"}:
            raise ValueError(f"not a create action: {action}")
        name, status = (target["_index"], target["_id"]), 201
        if mood == "partly" and number % 2:
            status = 429
        elif any(text in source for text in self.server.refused):
            status = 400
        elif name in self.server.documents:
            status = 409
        else:
            self.server.documents[name] = source
        found = {"_index": name[0], "_id": name[1], "status": status}
        if status >= 300:
            found["error"] = {"type": "document_parsing_exception", "reason": "as planted"}
        return {"create": found}

    def _answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Its tests tell all of it."""


def _pairs(body):
    """Action and source of each document; anything that is no NDJSON is a ValueError."""
    text = body.decode("utf-8", "strict")
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    lines = text[:-1].split("\n")
    if len(lines) % 2 or not all(lines):
        raise ValueError("actions and sources do not alternate")
    parsed = [json.loads(line, parse_constant=_no_json) for line in lines]
    if not all(isinstance(line, dict) for line in parsed):
        raise ValueError("a line is no object")
    return list(zip(parsed[::2], lines[1::2], strict=True))


def _no_json(constant):
    raise ValueError(f"{constant} is no JSON")


@contextmanager
def elasticsearch(port=0, documents=None):
    """A server that dies with its block."""
    with running(Elasticsearch(port, documents)) as server:
        yield server
