"""Atlassian Statuspage: one incident of the page for one of ours, an update for each notice.

The page's incident holds our incident's id and the keys of the notices that it tells, in its metadata:
written in the same request as the notice, so that both are there or neither.

Source: Statuspage API v1, pages/{page}/incidents.
"""

from functools import partial
from typing import Any, Literal

import httpx

from tasks.clients.channels.failures import told
from tasks.clients.public.web import ask, fields, refused
from tasks.clients.public.wording import BLOCK, checked
from tasks.clients.public.words import Words
from tasks.errors import Permanent
from tasks.plan.crisis import Phase
from tasks.plan.plan import Plan
from tasks.plan.public_channels import Statuspage
from tasks.plan.references import read_secret

_OURS = "naas_dr"
_NEWEST = 100
_STATUS: dict[Phase, Literal["investigating", "identified", "resolved"]] = {
    "disrupted": "investigating",
    "update": "identified",
    "restored": "resolved",
}


def publish(plan: Plan, settings: Statuspage, words: Words) -> str:
    """Put a notice on the page, unless it is there; it is looked for among the hundred newest incidents.

    Returns:
        the page's id of the incident.

    Raises:
        Busy: 420 or 429; `seconds` is its Retry-After.
        Transient: no answer in time, 5xx, or an answer that does not show the notice.
        Permanent: the page, the component or the key is refused, or the incident is over.
    """
    # A page may read a text as HTML: what would begin a tag is written as a sign that begins none.
    subject, _, text = _untagged(checked(words)).partition("\n")
    key = read_secret(plan.folder, settings.api_key)
    place = _place(settings)
    call = partial(ask, plan, headers=_login(key))
    with told("statuspage", [key], BLOCK):
        before = _find(call("GET", place, params={"limit": _NEWEST}), words.incident)
        if before and words.key in _told(before):
            return str(before["id"])
        change = _change(settings, words, text, _told(before or {}))
        if before is None:
            made = call("POST", place, json={"incident": {**change, "name": subject}})
        elif before["status"] == "resolved" and words.phase != "restored":
            raise Permanent("the incident is over on the status page", before["id"], "open another incident")
        else:
            made = call("PATCH", f"{place}/{before['id']}", json={"incident": change})
        return _shown(made, change, words.key)


def reach(plan: Plan, settings: Statuspage) -> None:
    """See that the page shows its incidents to whoever has the key.

    Raises:
        Transient, Permanent: as of `publish`.
    """
    key = read_secret(plan.folder, settings.api_key)
    with told("statuspage", [key], BLOCK):
        _listed(ask(plan, "GET", _place(settings), _login(key), params={"limit": 1}))


def _place(settings: Statuspage) -> str:
    return f"{settings.endpoint}/v1/pages/{settings.page}/incidents"


def _login(key: str) -> dict[str, str]:
    return {"Authorization": f"OAuth {key}"}


def _untagged(text: str) -> str:
    return text.replace("<", "\u2039")


def _find(answer: httpx.Response, incident: str) -> dict[str, Any] | None:
    return next((each for each in _listed(answer) if _ours(each).get("incident") == incident), None)


def _listed(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        listed = answer.json() if answer.status_code == 200 else None
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        raise refused(answer)
    return listed


def _ours(incident: dict[str, Any]) -> dict[str, Any]:
    found = (incident.get("metadata") or {}).get(_OURS)
    return found if isinstance(found, dict) else {}


def _told(incident: dict[str, Any]) -> list[str]:
    return list(_ours(incident).get("told", ()))


def _change(settings: Statuspage, words: Words, text: str, before: list[str]) -> dict[str, Any]:
    component = "operational" if words.phase == "restored" else settings.outage
    return {
        "status": _STATUS[words.phase],
        "body": text,
        "components": {settings.component: component},
        "component_ids": [settings.component],
        "deliver_notifications": settings.tells_subscribers,
        "metadata": {_OURS: {"incident": words.incident, "told": [*before, words.key]}},
    }


def _shown(answer: httpx.Response, change: dict[str, Any], key: str) -> str:
    """The id of the page's incident, if the answer shows it as it was to become."""
    found = fields(answer)
    shown = found.get("status") == change["status"] and key in _told(found) and found.get("id")
    if answer.status_code not in {200, 201} or not shown:
        raise refused(answer)
    return str(found["id"])
