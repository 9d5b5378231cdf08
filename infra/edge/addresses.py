"""Where the edge is, and a plan whose channels lead to it."""

import secrets
from collections.abc import Mapping
from typing import Any

HTTPS_PORT = 8443
SMTP_PORT = 8025
_WEBHOOK = "file:secrets/slack_webhook"


def our_channels(notifications: Mapping[str, Any], address: str) -> dict[str, Any]:
    """A plan's `notifications` block with every channel leading to the edge: a lab wakes nobody."""
    moved = {name: dict(channel) for name, channel in notifications.items() if channel}
    if "pagerduty" in moved:
        moved["pagerduty"]["endpoint"] = _server(address)
        if escalation := moved["pagerduty"].get("escalation"):
            moved["pagerduty"]["escalation"] = {**escalation, "endpoint": _server(address)}
    if "slack" in moved:
        moved["slack"] = {"webhook": _WEBHOOK, "channel": moved["slack"]["channel"]}
    if "email" in moved:
        mail = {key: moved["email"][key] for key in ("to", "sender")}
        moved["email"] = {**mail, "smarthost": f"{address}:{SMTP_PORT}"}
    if "heartbeat" in moved:
        moved["heartbeat"]["url"] = f"{_server(address)}/heartbeat"
    return moved


def new_webhook(address: str) -> str:
    """A webhook of the edge's Slack, as secret as a real one."""
    return f"{_server(address)}/services/T00000000/B00000000/{secrets.token_urlsafe(18)}"


def _server(address: str) -> str:
    return f"https://{address}:{HTTPS_PORT}"
