"""PagerDuty's own escalation policy, and the heartbeat that says that alerts can be told."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.plan.base import Block, Phrase
from tasks.plan.values import (
    Duration,
    HttpsServer,
    HttpUrl,
    Integer,
    Key,
    SecretRef,
    Sentence,
    matching,
    refusal,
)

_ALLOWED = "'user ID' or 'schedule ID', as PagerDuty shows it: 'schedule PIRQ3MK'"


class PagingTarget(Phrase):
    """A person or an on-call schedule of PagerDuty."""

    kind: Literal["user", "schedule"]
    id: Annotated[str, matching(r"[A-Z0-9]{5,20}", _ALLOWED)]

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read "schedule PIRQ3MK"."""
        kind, _, name = value.partition(" ") if isinstance(value, str) else ("", "", "")
        if kind not in {"user", "schedule"}:
            raise refusal(f"{value!r:.40} is nobody whom PagerDuty knows", _ALLOWED)
        return {"kind": kind, "id": name}

    def written(self) -> str:
        """The plan's words."""
        return f"{self.kind} {self.id}"


class PagingPolicy(Block):
    """How PagerDuty's REST API is reached, and who the critical levels are there.

    Attributes:
        api_token: a REST API key that may write escalation policies and services.
        policy: the escalation policy's name there.
        service: the name of the service that the routing key belongs to.
        recipients: each recipient of the critical levels.
        repeat: how often the levels are gone through again where nobody acknowledges.
        endpoint: the REST API, or a proxy that stands for it.
    """

    api_token: SecretRef
    policy: Sentence
    service: Sentence
    recipients: dict[Key, PagingTarget]
    repeat: Annotated[Integer, Field(ge=0, le=9)] = 9
    endpoint: HttpsServer = "https://api.pagerduty.com"


class Heartbeat(Block):
    """Whoever is told again and again that alerts can be told, and tells people when that stops.

    Attributes:
        url: a webhook outside all sites, of a dead-man service.
        every: how often it is told.
        token: a bearer token, where it asks for one.
    """

    url: HttpUrl
    every: Duration = timedelta(minutes=1)
    token: SecretRef | None = None
