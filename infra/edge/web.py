"""PagerDuty's Events and REST API v2, Slack's webhook and Web API, as much of them as a caller can notice.

No routing key, webhook or token is kept.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from infra.edge import inbox
from infra.edge.paging import ACCEPTED, Account, Answer

_SEVERITIES = frozenset({"critical", "error", "warning", "info"})
_ACTIONS = frozenset({"trigger", "acknowledge", "resolve"})
_LONGEST = 512 * 1024


class Handler(BaseHTTPRequestHandler):
    """One request: the path says who is spoken to."""

    timeout = 10
    box: ClassVar[Path]
    account: ClassVar[Account]

    def do_POST(self) -> None:
        """Take a message, or say why not."""
        body = self._body()
        if ACCEPTED in self.headers.get("Accept", ""):
            self._manage(body)
        else:
            self._say(*(self._of(body) if body is not None else (400, "no JSON object")))

    def do_GET(self) -> None:
        """Show what PagerDuty's account holds."""
        self._manage(None)

    def do_PUT(self) -> None:
        """Change it."""
        self._manage(self._body())

    def _manage(self, body: Mapping[str, Any] | None) -> None:
        authorization = self.headers.get("Authorization", "")
        self._say(*self.account.answer(self.command, self.path, authorization, body))

    def _say(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def _body(self) -> dict[str, Any] | None:
        length = int(self.headers.get("Content-Length", 0))
        try:
            body = json.loads(self.rfile.read(length)) if length <= _LONGEST else None
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    def _of(self, body: Mapping[str, Any]) -> Answer:
        speakers: dict[str, Callable[[], Answer]] = {
            "/v2/enqueue": partial(_pagerduty, self.box, body),
            "/services": partial(_webhook, self.box, body),
            "/heartbeat": partial(_heartbeat, self.box),
            "/api/chat.postMessage": partial(_web_api, self.box, body, self.headers.get("Authorization", "")),
        }
        found = next((take for path, take in speakers.items() if self.path.startswith(path)), None)
        return found() if found else (404, "no such path")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's name
        """Nothing: a webhook's path is its secret."""


def _pagerduty(box: Path, event: Mapping[str, Any]) -> Answer:
    payload, action = event.get("payload") or {}, event.get("event_action")
    errors = [
        problem
        for problem, wrong in {
            "'routing_key' is missing or blank": not event.get("routing_key"),
            "'event_action' is not trigger, acknowledge or resolve": action not in _ACTIONS,
            "'dedup_key' is missing": action != "trigger" and not event.get("dedup_key"),
            "'payload.summary' is missing, blank or too long": action == "trigger"
            and not 0 < len(payload.get("summary", "")) <= 1024,
            "'payload.source' is missing or blank": action == "trigger" and not payload.get("source"),
            "'payload.severity' is invalid": action == "trigger"
            and payload.get("severity") not in _SEVERITIES,
        }.items()
        if wrong
    ]
    if errors:
        return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    key = event.get("dedup_key") or "made-here"
    text = (payload.get("custom_details") or {}).get("text", "")
    about = {"action": action, "key": key, "severity": payload.get("severity")}
    inbox.put(box, "pagerduty", payload.get("summary", ""), text, **about)
    return 202, {"status": "success", "message": "Event processed", "dedup_key": key}


def _webhook(box: Path, body: Mapping[str, Any]) -> Answer:
    text = _words(body)
    if not text:
        return 400, "no_text"
    inbox.put(box, "slack", text.partition("\n")[0], text)
    return 200, "ok"


def _words(body: Mapping[str, Any]) -> str:
    """A message's text; attachments, which Alertmanager sends, make up for one."""
    parts = [body, *(body.get("attachments") or ())]
    found = (part.get(name) for part in parts for name in ("title", "text"))
    return "\n".join(words for words in found if isinstance(words, str) and words)


def _heartbeat(box: Path) -> Answer:
    inbox.put(box, "heartbeat", "alerts can be told", "")
    return 200, "ok"


def _web_api(box: Path, body: Mapping[str, Any], authorization: str) -> Answer:
    text = _words(body)
    if not authorization.startswith("Bearer "):
        return 200, {"ok": False, "error": "not_authed"}
    if not body.get("channel"):
        return 200, {"ok": False, "error": "channel_not_found"}
    if not text:
        return 200, {"ok": False, "error": "no_text"}
    inbox.put(box, "slack", text.partition("\n")[0], text, to=body["channel"])
    return 200, {"ok": True, "channel": body["channel"], "ts": "1700000000.000100"}
