"""PagerDuty's REST API v2, as much of it as escalation policies, services and integrations need.

Source: PagerDuty's API schema (OpenAPI), REST API v2.
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
ACCEPTED = "application/vnd.pagerduty+json"
_LARGEST_PAGE = 100
_KINDS = {"escalation_policies": "escalation_policy", "services": "service"}
_INTEGRATION = "events_api_v2_inbound_integration"


@dataclass
class Account:
    """One account: what it holds, and how it misbehaves.

    Attributes:
        token: the only API key it takes; None: any.
        people: ids of users and schedules that it knows; None: any.
        busy: how many more requests are answered with 429.
        key: the next integration's key; a random one where empty.
    """

    token: str | None = None
    people: frozenset[str] | None = None
    busy: int = 0
    key: str = ""
    held: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, authorization: str, body: Mapping[str, Any] | None) -> Answer:
        """Answer one request.

        Args:
            method: GET, POST or PUT.
            target: path and query.
            authorization: the header of that name.
            body: what was sent.
        """
        with self._turn:
            if self.busy > 0:
                self.busy -= 1
                return _refused(429, "Rate Limit Exceeded")
            token = authorization.removeprefix("Token token=")
            if token == authorization or not token or self.token not in {None, token}:
                return _refused(401, "Unauthorized")
            place = urlsplit(target)
            return self._of(method, place.path.strip("/").split("/"), parse_qs(place.query), body or {})

    def _of(
        self, method: str, path: list[str], query: Mapping[str, list[str]], body: Mapping[str, Any]
    ) -> Answer:
        match method, path:
            case "GET", _:
                return self._shown(path, query)
            case "POST", ["escalation_policies" | "services" as kind]:
                return self._new(kind, body.get(_KINDS[kind]) or {})
            case "PUT", ["escalation_policies" | "services" as kind, name]:
                return self._changed(kind, name, body.get(_KINDS[kind]) or {})
            case "POST", ["services", name, "integrations"]:
                return self._integrated(name, body.get("integration") or {})
            case _:
                return _refused(404, "Not Found")

    def _shown(self, path: list[str], query: Mapping[str, list[str]]) -> Answer:
        found: dict[str, Any] | None = None
        match path:
            case ["escalation_policies" | "services" as kind]:
                return self._page(kind, query)
            case ["users" | "schedules" as kind, name] if self.people is None or name in self.people:
                found = {kind.removesuffix("s"): {"id": name}}
            case ["services", name, "integrations", wanted]:
                held = self.held["services"].get(name, {}).get("integrations", [])
                found = next(({"integration": each} for each in held if each["id"] == wanted), None)
        return (200, found) if found else _refused(404, "Not Found")

    def _page(self, kind: str, query: Mapping[str, list[str]]) -> Answer:
        """Classic pagination."""
        limit, offset = int(query.get("limit", ["25"])[0]), int(query.get("offset", ["0"])[0])
        if not 0 < limit <= _LARGEST_PAGE:
            return _refused(400, "Invalid Input Provided", "Limit must be between 1 and 100.")
        wanted = query.get("query", [""])[0].lower()
        found = [each for each in self.held[kind].values() if wanted in each["name"].lower()]
        page = [self._without_keys(each) for each in found[offset : offset + limit]]
        more = offset + limit < len(found)
        return 200, {kind: page, "limit": limit, "offset": offset, "more": more, "total": None}

    def _new(self, kind: str, given: Mapping[str, Any]) -> Answer:
        errors = _errors(kind, given, new=True)
        if any(each["name"] == given.get("name") for each in self.held[kind].values()):
            errors.append("Name has already been taken")
        if errors:
            return _refused(400, "Invalid Input Provided", *errors)
        name, defaults = _new_id(), {"num_loops": 0} if kind == "escalation_policies" else dict(_SERVICE)
        self.held[kind][name] = {"integrations": [], **defaults, **given, "id": name}
        return 201, {_KINDS[kind]: self._without_keys(self.held[kind][name])}

    def _changed(self, kind: str, name: str, given: Mapping[str, Any]) -> Answer:
        if name not in self.held[kind]:
            return _refused(404, "Not Found")
        errors = _errors(kind, given, new=False)
        if errors:
            return _refused(400, "Invalid Input Provided", *errors)
        self.held[kind][name] |= given
        return 200, {_KINDS[kind]: self._without_keys(self.held[kind][name])}

    def _integrated(self, service: str, given: Mapping[str, Any]) -> Answer:
        if service not in self.held["services"]:
            return _refused(404, "Not Found")
        if given.get("type") != _INTEGRATION:
            return _refused(400, "Invalid Input Provided", "Type is not one that is known here.")
        key = self.key or secrets.token_hex(16)
        made = {"name": "Events", **given, "id": _new_id(), "integration_key": key}
        self.held["services"][service]["integrations"].append(made)
        return 201, {"integration": made}

    def _without_keys(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """As a list shows it: integrations are references, which hold no key."""
        references = [
            {"id": each["id"], "type": f"{each['type']}_reference"} for each in found["integrations"]
        ]
        return {**found, "integrations": references}


_SERVICE = {
    "status": "active",
    "incident_urgency_rule": {"type": "constant", "urgency": "high"},
}


def _errors(kind: str, given: Mapping[str, Any], *, new: bool) -> list[str]:
    """What is wrong with an escalation policy or a service."""
    errors = [] if given.get("name") or not new else ["Name cannot be blank."]
    if kind == "services":
        bound = (given.get("escalation_policy") or {}).get("id")
        return errors if bound or not new else [*errors, "Escalation policy cannot be blank."]
    rules = given.get("escalation_rules", None if new else [{}])
    if not rules:
        return [*errors, "Escalation rules cannot be empty."]
    for rule in rules:
        delay = rule.get("escalation_delay_in_minutes", 1)
        if not isinstance(delay, int) or delay < 1:
            errors.append("Escalation delay in minutes must be at least 1.")
        if rule and not 1 <= len(rule.get("targets", [])) <= 10:
            errors.append("Targets must be between 1 and 10.")
    return errors


def _refused(status: int, message: str, *errors: str) -> Answer:
    codes = {400: 2001, 401: 2006, 404: 2100, 429: 2020}
    return status, {"error": {"code": codes[status], "message": message, "errors": list(errors)}}


def _new_id() -> str:
    return f"P{secrets.token_hex(3).upper()}"
