"""Events in Prefect, told over its REST API without importing it.

Source: Prefect's REST API, "POST /events".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from deployments.trigger import Api


@dataclass(frozen=True)
class Event:
    """One thing that happened; told again, it stays one.

    Attributes:
        name: what happened, such as "naas-dr.site.suspected".
        resource: to what, such as "naas-dr.site.us-east-1".
        payload: whatever else is known.
    """

    name: str
    resource: str
    payload: Mapping[str, Any]
    id: str = field(default_factory=lambda: str(uuid4()))
    occurred: datetime = field(default_factory=lambda: datetime.now(UTC))


def emit(api: Api, event: Event) -> None:
    """Tell Prefect of an event, which may start what its automations say.

    Raises:
        Transient: the server does not answer, or cannot now.
        Permanent: it refuses.
    """
    told = {
        "id": event.id,
        "occurred": event.occurred.isoformat(),
        "event": event.name,
        # By its name the UI shows it.
        "resource": {
            "prefect.resource.id": event.resource,
            "prefect.resource.name": event.resource.rpartition(".")[2],
        },
        "payload": dict(event.payload),
    }
    api.call("POST", "/events", [told])
