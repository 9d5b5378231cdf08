"""The protected service, as a user sees it: an order is placed and read back."""

from uuid import uuid4

import httpx

from tasks.clients.http import PROOF, request
from tasks.errors import Permanent, Transient

_TIMEOUT = httpx.Timeout(3.0, connect=1.0)


def healthy(base_url: str, path: str = "/health") -> bool:
    """Whether the service calls itself able to take orders, at the plan's path for that.

    Raises:
        Transient: it does not answer.
    """
    return _request("GET", f"{base_url}{path}").status_code == httpx.codes.OK


def round_trip(base_url: str) -> str:
    """Place an order and read it back.

    Returns:
        the site that took it.

    Raises:
        Transient: the service does not answer, or not yet.
        Permanent: what was read back is not what was written.
    """
    order: dict[str, object] = {"id": str(uuid4()), "item": "naas-dr smoke test", "quantity": 1}
    placed = _request("POST", f"{base_url}/orders", order)
    if placed.status_code != httpx.codes.CREATED:
        raise Transient(f"{base_url} does not take orders", f"{placed.status_code} {placed.text[:200]}")
    back = _request("GET", f"{base_url}/orders/{order['id']}")
    if back.status_code != httpx.codes.OK:
        raise Transient(f"{base_url} does not return an order", f"{back.status_code} {back.text[:200]}")
    if back.json()["item"] != order["item"]:
        raise Permanent(f"{base_url} returned another order", back.text[:200])
    return str(placed.json()["site"])


def _request(method: str, url: str, body: dict[str, object] | None = None) -> httpx.Response:
    try:
        return request(method, url, json=body, headers=PROOF, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise Transient(f"{url} does not answer", f"{type(error).__name__}: {error}") from error
