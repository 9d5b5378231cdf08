"""PagerDuty's escalation policy and the service that it stands behind, by its REST API's official client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pagerduty import Error, RestApiV2Client

from tasks.clients.channels.failures import of_http, told
from tasks.clients.channels.trust import trusted
from tasks.errors import Permanent
from tasks.plan.paging import PagingPolicy, PagingTarget
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

_TIMEOUT_S = 10
# How often a request is made again where PagerDuty asks for time, with a longer pause each time.
_PATIENCE = 4
_EVENTS = "events_api_v2_inbound_integration"
_HIGH = {"type": "constant", "urgency": "high"}


@dataclass(frozen=True)
class Level:
    """Who is told, and how many minutes they have."""

    minutes: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """An escalation policy."""

    id: str
    levels: tuple[Level, ...]
    repeat: int


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        id: its id.
        policy: the id of its escalation policy.
        status: as PagerDuty calls it.
        always_urgent: whether its incidents call people at any hour.
        integrations: how many of its integrations take our events.
        takes_our_key: whether the plan's routing key is one of theirs.
    """

    id: str
    policy: str
    status: str
    always_urgent: bool
    integrations: int
    takes_our_key: bool


@dataclass(frozen=True)
class Standing:
    """What PagerDuty has by the plan's names; `unknown` are the plan's targets that it has not."""

    policy: Policy | None
    service: Service | None
    unknown: tuple[str, ...]


class Paging:
    """One account of PagerDuty, as the plan's token sees it. Use it within `paging`."""

    def __init__(self, client: RestApiV2Client, settings: PagingPolicy, routing_key: str) -> None:
        self._client, self._settings, self._routing_key = client, settings, routing_key

    def standing(self) -> Standing:
        """Everything that the plan is about, as it is now."""
        policy = self._named("escalation_policies", self._settings.policy)
        service = self._named("services", self._settings.service)
        return Standing(
            policy=_policy(policy) if policy else None,
            service=self._service(service) if service else None,
            unknown=tuple(it.written() for it in self._settings.recipients.values() if not self._knows(it)),
        )

    def write_policy(self, levels: tuple[tuple[int, PagingTarget], ...], known: Policy | None) -> str:
        """Create the policy, or make it what it should be; returns its id."""
        rules = [
            {
                "escalation_delay_in_minutes": minutes,
                "targets": [{"id": target.id, "type": f"{target.kind}_reference"}],
            }
            for minutes, target in levels
        ]
        body = {
            "type": "escalation_policy", "name": self._settings.policy,
            "escalation_rules": rules, "num_loops": self._settings.repeat,
        }  # fmt: skip
        return self._write("escalation_policies", body, known.id if known else None)

    def write_service(self, policy: str, known: Service | None) -> None:
        """Create the service with an integration for our events, or bind it to the policy, always urgent."""
        body = {
            "type": "service", "name": self._settings.service, "incident_urgency_rule": _HIGH,
            "escalation_policy": {"id": policy, "type": "escalation_policy_reference"},
        }  # fmt: skip
        if known is None or known.status == "disabled":
            body["status"] = "active"
        service = self._write("services", body, known.id if known else None)
        if known is None or not known.integrations:
            self._client.rpost(
                f"services/{service}/integrations", json={"type": _EVENTS, "name": "Alertmanager"}
            )

    def _write(self, kind: str, body: dict[str, Any], known: str | None) -> str:
        if known:
            return str(self._client.rput(f"{kind}/{known}", json=body)["id"])
        return str(self._client.rpost(kind, json=body)["id"])

    def _named(self, kind: str, name: str) -> dict[str, Any] | None:
        """The one of exactly this name: a query finds all that contain it."""
        found = self._client.list_all(kind, params={"query": name})
        return next((each for each in found if each["name"] == name), None)

    def _service(self, found: dict[str, Any]) -> Service:
        ours = [each for each in found["integrations"] if each["type"].startswith(_EVENTS)]
        keys = [
            self._client.rget(f"services/{found['id']}/integrations/{each['id']}")["integration_key"]
            for each in ours
        ]
        return Service(
            id=found["id"],
            policy=found["escalation_policy"]["id"],
            status=found["status"],
            always_urgent=found.get("incident_urgency_rule") == _HIGH,
            integrations=len(ours),
            takes_our_key=self._routing_key in keys,
        )

    def _knows(self, target: PagingTarget) -> bool:
        try:
            self._client.rget(f"{target.kind}s/{target.id}")
        except Error as error:
            if error.response is not None and error.response.status_code == 404:
                return False
            raise
        return True


@contextmanager
def paging(plan: Plan) -> Iterator[Paging]:
    """PagerDuty's REST API.

    Raises:
        Busy: it goes on asking for time.
        Transient: it does not answer, or fails.
        Permanent: it refuses the token or a request.
    """
    channel = plan.notifications.pagerduty
    if channel is None or channel.escalation is None:
        raise Permanent("the plan has no notifications.pagerduty.escalation")
    settings = channel.escalation
    token, key = (read_secret(plan.folder, it) for it in (settings.api_token, channel.routing_key))
    with (
        told("pagerduty", [token, key]),
        RestApiV2Client(token, base_url=settings.endpoint, verify=trusted(plan)) as client,
    ):
        client.timeout, client.max_network_attempts, client.retry = _TIMEOUT_S, 0, {429: _PATIENCE}
        try:
            yield Paging(client, settings, key)
        except Error as error:
            answer = error.response
            if answer is None:
                raise OSError(type(error.__cause__).__name__) from None
            raise of_http(answer.status_code, answer.text, answer.headers.get("ratelimit-reset")) from None


def _policy(found: dict[str, Any]) -> Policy:
    levels = tuple(
        Level(
            rule["escalation_delay_in_minutes"],
            tuple(f"{it['type'].removesuffix('_reference')} {it['id']}" for it in rule["targets"]),
        )
        for rule in found["escalation_rules"]
    )
    return Policy(found["id"], levels, found["num_loops"])
