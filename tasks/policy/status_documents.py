"""The public status page's objects, and what is read back from them. Pure.

`status.json` is for programs; its fields stay as they are within a `version`:

    version      1
    service      the plan's name of the service
    title, address, contact
    components   name -> what it is
    state        "operational" (no disruption is reported), "disrupted", or "recovering" (disrupted still)
    as_of        when it was published, in UTC as RFC 3339 writes it; so are all times here
    next_update  by when the next notice is promised, or null
    notices      all of them, the newest first: key, incident, phase ("disrupted", "update", "restored"), at,
                 subject and text (language -> words), next_update
"""

import json
from collections.abc import Sequence

from pydantic import ValidationError

from tasks.clients.status_store import FEED, PAGE, STATE, Document
from tasks.facts.status import PublicStatus
from tasks.plan.plan import Plan
from tasks.plan.status_page import StatusPage
from tasks.policy.status_feed import feed
from tasks.policy.status_page import (
    components,
    current,
    merged,
    page,
    promised,
)

_VERSION = 1


def documents(plan: Plan, settings: StatusPage, status: PublicStatus) -> Sequence[Document]:
    """All three objects, in the order in which they are written."""
    drawn = page(plan, settings, status).encode()
    return (
        Document(STATE, status_json(plan, settings, status).encode(), "application/json"),
        Document(FEED, feed(plan, settings, status), "application/atom+xml"),
        Document(PAGE, drawn, "text/html; charset=utf-8"),
    )


def with_held(
    plan: Plan, settings: StatusPage, status: PublicStatus, content: bytes | None
) -> Sequence[Document]:
    """The objects that say all of a status, and all that a store holds beside it."""
    found = held(content)
    return documents(plan, settings, merged([status, found]) if found else status)


def held(content: bytes | None) -> PublicStatus | None:
    """What a status.json says; None where there is none, or one that is not ours."""
    try:
        found = json.loads(content or b"{}")
        return PublicStatus.model_validate(found) if found["version"] == _VERSION else None
    except (ValueError, KeyError, TypeError, ValidationError):
        return None


def status_json(plan: Plan, settings: StatusPage, status: PublicStatus) -> str:
    """`status.json`: the fields above."""
    told = status.model_dump(mode="json")
    until = promised(status)
    fields = {
        "version": _VERSION,
        "service": plan.service.name,
        "title": settings.title,
        "address": settings.address,
        "contact": settings.contact,
        "components": components(plan, settings),
        "state": current(status),
        "as_of": told["as_of"],
        "next_update": until.isoformat().replace("+00:00", "Z") if until else None,
        "notices": told["notices"],
    }
    return json.dumps(fields, ensure_ascii=False, indent=1) + "\n"
