"""PagerDuty's Events API v2 and Slack's webhook and Web API, as much of them as a sender can notice.

No routing key, webhook or token is kept.
"""

from collections.abc import Mapping
from typing import Any

from infra.edge import inbox
from infra.edge.asked import NO_JSON, Answer, Asked

_SEVERITIES = frozenset({"critical", "error", "warning", "info"})
_ACTIONS = frozenset({"trigger", "acknowledge", "resolve"})


def pagerduty(asked: Asked) -> Answer:
    """The Events API: trigger, acknowledge, resolve."""
    if (event := asked.json) is None:
        return NO_JSON
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
        return Answer(
            400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        )
    key = event.get("dedup_key") or "made-here"
    text = (payload.get("custom_details") or {}).get("text", "")
    about = {"action": action, "key": key, "severity": payload.get("severity")}
    inbox.put(asked.box, "pagerduty", payload.get("summary", ""), text, **about)
    return Answer(202, {"status": "success", "message": "Event processed", "dedup_key": key})


def webhook(asked: Asked) -> Answer:
    """Slack's incoming webhook."""
    if (body := asked.json) is None:
        return NO_JSON
    text = _words(body)
    if not text:
        return Answer(400, "no_text")
    inbox.put(asked.box, "slack", text.partition("\n")[0], text)
    return Answer(200, "ok")


def _words(body: Mapping[str, Any]) -> str:
    """A message's text; attachments, which Alertmanager sends, make up for one."""
    parts = [body, *(body.get("attachments") or ())]
    found = (part.get(name) for part in parts for name in ("title", "text"))
    return "\n".join(words for words in found if isinstance(words, str) and words)


def heartbeat(asked: Asked) -> Answer:
    """A dead man's switch outside: that it is asked at all is the message."""
    inbox.put(asked.box, "heartbeat", "alerts can be told", "")
    return Answer(200, "ok")


def web_api(asked: Asked) -> Answer:
    """Slack's chat.postMessage."""
    if (body := asked.json) is None:
        return NO_JSON
    text = _words(body)
    if not asked.authorization.startswith("Bearer "):
        return Answer(200, {"ok": False, "error": "not_authed"})
    if not body.get("channel"):
        return Answer(200, {"ok": False, "error": "channel_not_found"})
    if not text:
        return Answer(200, {"ok": False, "error": "no_text"})
    inbox.put(asked.box, "slack", text.partition("\n")[0], text, to=body["channel"])
    return Answer(200, {"ok": True, "channel": body["channel"], "ts": "1700000000.000100"})
