"""The protected service, as a user sees it: something is written through it, and read back."""

from typing import Any
from uuid import uuid4

import httpx

from tasks.clients.http import PROOF, request
from tasks.clients.probes import Words, differences, field_at, filled
from tasks.errors import Permanent, Transient
from tasks.plan.http_probe import HttpProbe
from tasks.plan.plan import Plan

_TIMEOUT_S, _CONNECT_S = 3.0, 1.0
_SHOWN = 200


def healthy(base_url: str, path: str) -> bool:
    """Whether the service calls itself able to work, at the plan's path for that.

    Raises:
        Transient: it does not answer.
    """
    return _request("GET", f"{base_url}{path}", None, _TIMEOUT_S).status_code == httpx.codes.OK


def round_trip(plan: Plan, base_url: str) -> str:
    """Write what the plan's proof writes, and read it back.

    Args:
        plan: the plan.
        base_url: the public endpoint, or a site's gateway.

    Returns:
        the site that took it.

    Raises:
        Transient: the service does not answer, or not yet what the plan expects.
        Permanent: what it tells is not what was written, or no site of the plan's is named.
    """
    proof, words = plan.service.proof, {"id": str(uuid4())}
    taken = _asked(base_url, proof.write, words)
    _asked(base_url, proof.read, words)
    site = field_at(taken, proof.served_by)
    if site not in list(plan.sites):  # whatever JSON it is
        why = f"{proof.served_by} of the answer is {site!r}"
        raise Permanent(f"{base_url} does not tell which site took it", why, "service.proof.served_by")
    return str(site)


def _asked(base_url: str, wanted: HttpProbe, words: Words) -> Any:
    url, body = base_url + filled(wanted.path, words), filled(wanted.body, words)
    answer = _request(wanted.method, url, body, wanted.within.total_seconds())
    if answer.status_code != wanted.status:
        seen = f"{answer.status_code} {answer.text[:_SHOWN]}"
        raise Transient(f"{wanted.method} {url} does not answer {wanted.status}", seen)
    try:
        told = answer.json()
    except ValueError as error:
        raise Transient(f"{wanted.method} {url} does not answer JSON", answer.text[:_SHOWN]) from error
    if wrong := differences(told, filled(wanted.fields, words)):
        raise Permanent(f"{wanted.method} {url} tells another than was written", "; ".join(wrong)[:_SHOWN])
    return told


def _request(method: str, url: str, body: dict[str, Any] | None, timeout: float) -> httpx.Response:
    limits = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_S))
    try:
        return request(method, url, json=body, headers=PROOF, timeout=limits)
    except httpx.HTTPError as error:
        raise Transient(f"{url} does not answer", f"{type(error).__name__}: {error}") from error
