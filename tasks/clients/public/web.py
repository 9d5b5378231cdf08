"""One request to a public channel, and what its refusal means."""

import time
from typing import Any

import httpx

from tasks.clients.channels.failures import TIMEOUT_S, Answered, of_http
from tasks.clients.channels.trust import trusted
from tasks.plan.plan import Plan


def ask(plan: Plan, method: str, url: str, headers: dict[str, str], **content: Any) -> httpx.Response:
    """Make one request, with no retry and no redirect; call it inside `told`.

    Raises:
        OSError: no answer in time.
    """
    try:
        return httpx.request(method, url, headers=headers, timeout=TIMEOUT_S, verify=trusted(plan), **content)
    except httpx.TransportError as error:
        raise OSError(type(error).__name__) from None


def fields(answer: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; an empty one where it is anything else."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def refused(answer: httpx.Response) -> Answered:
    """Any answer but the one that was wanted; Statuspage says 420 for 429, X names the end of the wait."""
    status = 429 if answer.status_code == 420 else answer.status_code
    return of_http(status, answer.text, _wait(answer.headers))


def _wait(headers: httpx.Headers) -> str | None:
    after: str | None = headers.get("retry-after")
    reset: str = headers.get("x-rate-limit-reset", "")
    if after is None and reset.isdecimal():
        return str(max(1, int(reset) - int(time.time())))
    return after
