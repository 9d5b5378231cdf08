"""Where the edge is, and a plan whose channels lead to it."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

HTTPS_PORT = 8443
SMTP_PORT = 8025
_WEBHOOK = "file:secrets/slack_webhook"
_X = "file:secrets/x"
_AMAZON = "file:secrets/amazon"


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


def our_public_channels(
    channels: Mapping[str, Any], address: str, ports: tuple[int, int] = (HTTPS_PORT, SMTP_PORT)
) -> dict[str, Any]:
    """A plan's `crisis_communication.channels` with every channel leading to the edge: a lab tells nobody.

    The credentials that the edge tells right from wrong are those of `public_secrets`.
    """
    web, smarthost = f"https://{address}:{ports[0]}", f"{address}:{ports[1]}"
    moved = {name: dict(channel) for name, channel in channels.items() if channel}
    for name in moved.keys() & {"statuspage", "x", "linkedin", "sms"}:
        moved[name]["endpoint"] = web
    if "x" in moved:
        moved["x"]["credentials"] = _X
    if "sms" in moved:
        moved["sms"]["credentials"] = _AMAZON
    if mail := moved.get("email"):
        if mail.get("ses"):
            mail["ses"] = {**mail["ses"], "endpoint": web, "credentials": _AMAZON}
        else:
            mail["smtp"] = {"smarthost": smarthost}
    return moved


def public_secrets() -> dict[str, str]:
    """New credentials of the edge's X and Amazon, by the references that `our_public_channels` gives them."""
    consumer, token = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    keys = {
        "consumer_key": consumer,
        "consumer_secret": secret_of(consumer),
        "access_token": token,
        "access_token_secret": secret_of(token),
    }
    pair = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}
    return {_X: json.dumps(keys), _AMAZON: json.dumps(pair)}


def secret_of(key: str) -> str:
    """What belongs to a key of the edge's X: it follows from the key, so that the edge keeps none."""
    return hashlib.sha256(f"the edge's secret of {key}".encode()).hexdigest()


def _server(address: str) -> str:
    return f"https://{address}:{HTTPS_PORT}"
