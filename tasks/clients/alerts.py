"""Alertmanager's alerts and silences, by its API v2."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan
from tasks.plan.ports import ALERTMANAGER_PORT

_TIMEOUT = httpx.Timeout(5.0)
_HINT = "is Alertmanager running on the control host?"


@dataclass(frozen=True)
class Alert:
    """One that fires; `taken_on` where somebody silenced it."""

    labels: Mapping[str, str]
    summary: str
    since: datetime
    taken_on: bool


class Alertmanager:
    """The control host's."""

    def __init__(self, plan: Plan, port: int = ALERTMANAGER_PORT) -> None:
        self._url = f"http://{plan.sites[plan.site_of('dr')].addresses('control')[0]}:{port}/api/v2"

    def firing(self) -> list[Alert]:
        """Every alert that fires, the oldest first.

        Raises:
            Transient: it does not answer.
        """
        found = [
            Alert(
                labels=each["labels"],
                summary=each["annotations"].get("summary", ""),
                since=datetime.fromisoformat(each["startsAt"]),
                taken_on=bool(each["status"]["silencedBy"]),
            )
            for each in self._ask("GET", "/alerts")
        ]
        return sorted(found, key=lambda alert: alert.since)

    def silence(self, labels: Mapping[str, str], lasting: timedelta, who: str, why: str) -> str:
        """Tell nobody any more of alerts with these labels, for a while; returns the silence's id.

        Raises:
            Transient: it does not answer.
            Permanent: it refuses.
        """
        now = datetime.now(UTC)
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in labels.items()
            ],
            "startsAt": now.isoformat(), "endsAt": (now + lasting).isoformat(),
            "createdBy": who, "comment": why,
        }  # fmt: skip
        return str(self._ask("POST", "/silences", body)["silenceID"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = request(method, self._url + path, timeout=_TIMEOUT, json=body)
        except httpx.HTTPError as error:
            raise Transient("Alertmanager does not answer", f"{self._url}: {error!r}", _HINT) from error
        if answer.status_code >= 500:
            raise Transient("Alertmanager cannot answer now", f"{path}: HTTP {answer.status_code}")
        if answer.is_error:
            raise Permanent("Alertmanager refuses", f"{path}: HTTP {answer.status_code} {answer.text[:300]}")
        return answer.json()
