"""The edge's web server: the method and the path say who is spoken to."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from infra.edge import alerts, amazon, social, statuspage
from infra.edge.asked import Answer, Asked
from infra.edge.faults import Faults
from infra.edge.paging import ACCEPTED, Account

_LONGEST = 512 * 1024
_PAGE = r"/v1/pages/[^/]+/incidents"
_SPEAKERS: tuple[tuple[str, re.Pattern[str], Callable[[Asked], Answer]], ...] = tuple(
    (channel, re.compile(path), answer)
    for channel, path, answer in (
        ("pagerduty", r"POST /v2/enqueue.*", alerts.pagerduty),
        ("slack", r"POST /services/.*", alerts.webhook),
        ("heartbeat", r"POST /heartbeat.*", alerts.heartbeat),
        ("slack", r"POST /api/chat\.postMessage.*", alerts.web_api),
        ("statuspage", rf"GET {_PAGE}", statuspage.listed),
        ("statuspage", rf"POST {_PAGE}", statuspage.created),
        ("statuspage", rf"PATCH {_PAGE}/[^/]+", statuspage.updated),
        ("x", r"POST /2/tweets", social.x),
        ("linkedin", r"POST /rest/posts", social.linkedin),
        ("email", r"POST /v2/email/outbound-emails", amazon.ses),
        ("sms", r"POST /", amazon.sns),
    )
)


def _busy() -> Answer:
    return Answer(429, "too many requests")


_BUSY: dict[str, Callable[[], Answer]] = {"email": amazon.ses_busy, "sms": amazon.sns_busy}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = 10
    box: ClassVar[Path]
    faults: ClassVar[Faults] = Faults()
    account: ClassVar[Account] = Account()

    def do_GET(self) -> None:
        """Tell what is asked for."""
        self._answer()

    def do_POST(self) -> None:
        """Take a message, or say why not."""
        self._answer()

    def do_PUT(self) -> None:
        """Change what PagerDuty's account holds."""
        self._answer()

    def do_PATCH(self) -> None:
        """Change what was taken, or say why not."""
        self._answer()

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LONGEST:
            self._say(Answer(413, "too much"))
            return
        path = self.path.partition("?")[0]
        url = f"https://{self.headers.get('Host', '')}{self.path}"
        asked = Asked(url, path, self.headers, self.rfile.read(int(length)), self.box)
        if ACCEPTED in self.headers.get("Accept", ""):
            self._say(Answer(*self.account.answer(self.command, self.path, asked.authorization, asked.json)))
            return
        spoken = f"{self.command} {path}"
        for channel, pattern, speaker in _SPEAKERS:
            if pattern.fullmatch(spoken):
                self._maybe(channel, speaker, asked)
                return
        self._say(Answer(404, "no such path"))

    def _maybe(self, channel: str, speaker: Callable[[Asked], Answer], asked: Asked) -> None:
        """Answer, unless chance has it that this one fails."""
        match self.faults.next(channel):
            case "busy":
                busy = _BUSY.get(channel, _busy)()
                self._say(busy._replace(headers={**busy.headers, "Retry-After": str(self.faults.wait_s)}))
            case "broken":
                self._say(Answer(500, "it broke"))
            case "mute":
                speaker(asked)
            case None:
                self._say(speaker(asked))

    def _say(self, answer: Answer) -> None:
        content = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(content.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's name
        """Nothing: a webhook's path is its secret."""
