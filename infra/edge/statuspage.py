"""Atlassian Statuspage's incidents, as much of them as a sender can notice.

What they are is read from the inbox, so that they outlive the server; no key is kept.
"""

import threading
from typing import Any

from infra.edge import inbox
from infra.edge.asked import NO_JSON, Answer, Asked

_STATUSES = frozenset({"investigating", "identified", "monitoring", "resolved"})
_COMPONENT = frozenset(
    {"operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"}
)
_MOST = 100
_LONGEST_BODY = 25_000
# Whoever changes an incident has read it before.
_changing = threading.Lock()


def listed(asked: Asked) -> Answer:
    """The newest incidents of a page, each as its last update left it."""
    if refusal := _unknown(asked):
        return refusal
    return Answer(200, list(reversed(_incidents(asked).values()))[:_MOST])


def created(asked: Asked) -> Answer:
    """A new incident."""
    with _changing:
        return _changed(asked, None)


def updated(asked: Asked) -> Answer:
    """An update of an incident."""
    with _changing:
        before = _incidents(asked).get(asked.path.rpartition("/")[2])
        return _changed(asked, before) if before else Answer(404, {"error": "Not found"})


def _changed(asked: Asked, before: dict[str, Any] | None) -> Answer:
    if refusal := _unknown(asked):
        return refusal
    if asked.json is None:
        return NO_JSON
    change: dict[str, Any] = asked.json.get("incident") or {}
    if errors := _mistakes(change, new=before is None):
        return Answer(422, {"error": errors})
    known = before or {
        "id": f"incident{len(_incidents(asked)) + 1}",
        "status": "investigating",
        "metadata": {},
        "components": {},
    }
    after = known | {name: change[name] for name in ("name", "status", "metadata") if name in change}
    after["components"] = {**known["components"], **change.get("components", {})}
    details = {key: after[key] for key in ("id", "status", "metadata", "components")}
    inbox.put(asked.box, "statuspage", after["name"], change.get("body", ""), page=_page(asked), **details)
    return Answer(200 if before else 201, after)


def _incidents(asked: Asked) -> dict[str, dict[str, Any]]:
    """The page's incidents by id, the oldest first."""
    found = dict[str, dict[str, Any]]()
    for line in inbox.messages(asked.box):
        if line["channel"] == "statuspage" and line["page"] == _page(asked):
            kept = {key: line[key] for key in ("id", "status", "metadata", "components")}
            found[line["id"]] = {**kept, "name": line["subject"]}
    return found


def _page(asked: Asked) -> str:
    return asked.path.split("/")[3]


def _unknown(asked: Asked) -> Answer | None:
    key = asked.authorization.removeprefix("OAuth ")
    return (
        None
        if key.strip() and key != asked.authorization
        else Answer(401, {"error": "Could not authenticate"})
    )


def _mistakes(change: dict[str, Any], *, new: bool) -> list[str]:
    metadata, components = change.get("metadata", {}), change.get("components", {})
    wrong = {
        "Name can't be blank": (new or "name" in change) and not str(change.get("name", "")).strip(),
        "Status is not included in the list": change.get("status", "identified") not in _STATUSES,
        "Body is too long": len(change.get("body", "")) > _LONGEST_BODY,
        "Metadata must be objects": not isinstance(metadata, dict)
        or not all(isinstance(each, dict) for each in metadata.values()),
        "Components are invalid": not isinstance(components, dict)
        or not set(components.values()) <= _COMPONENT,
    }
    return [error for error, found in wrong.items() if found]
