"""Istio moves the users, request by request: by the weights of a VirtualService's routes.

Patches carry the resourceVersion that was read, so a change by somebody else in between is never overwritten.

Source: Istio reference, "Virtual Service"; Kubernetes API concepts, "Resource versions", "Patch", "Status".
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.clients.traffic.standing import Standing, as_shares, standings
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret
from tasks.plan.traffic import Istio

_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_PASSING = {409, 429}
_MASK = "***"
_HINT = "apply the plan's istio/virtual-service.yaml again"

Route = dict[str, Any]


def standing(plan: Plan) -> dict[str, Standing]:
    """Each site's weight in the VirtualService.

    Raises:
        Transient: the Kubernetes API does not answer, or not now.
        Permanent: it refuses, or the VirtualService does not route to the sites alike everywhere.
    """
    found = [_weights(routes) for routes in _routes(plan, _ask(plan, "GET"))]
    if any(each != found[0] for each in found):
        raise Permanent(f"{_name(plan)} sends users differently by their request", str(found), _HINT)
    return standings(found[0])


def move(plan: Plan, weights: Mapping[str, int]) -> None:
    """Set the weights in every rule of the VirtualService that routes to the sites.

    Raises:
        Transient: the Kubernetes API does not answer, not now, or the VirtualService changed meanwhile.
        Permanent: it refuses, or the VirtualService does not route to the sites.
    """
    told = _ask(plan, "GET")
    for routes in _routes(plan, told):
        for route in routes:
            route["weight"] = weights.get(route["destination"]["subset"], 0)
    patch = {
        "metadata": {"resourceVersion": told["metadata"]["resourceVersion"]},
        # A merge patch replaces a list whole.
        "spec": {"http": told["spec"]["http"]},
    }
    _ask(plan, "PATCH", json.dumps(patch))


def _chosen(plan: Plan) -> Istio:
    chosen = plan.service.endpoint.istio
    if chosen is None:
        raise Refused("Istio does not move this plan's users", hint="see service.endpoint.istio")
    return chosen


def _name(plan: Plan) -> str:
    return f"VirtualService {_chosen(plan).namespace}/{plan.mesh.retry_policy.name}"


def _routes(plan: Plan, told: Mapping[str, Any]) -> list[list[Route]]:
    """The routes of each rule that sends users to the sites; each such rule must know every site."""
    sites = _chosen(plan).subsets.keys()
    rules = [rule.get("route", []) for rule in told.get("spec", {}).get("http", [])]
    found = [routes for routes in rules if not sites.isdisjoint(_subsets(routes))]
    if not found or any(sorted(_subsets(routes)) != sorted(sites) for routes in found):
        detail = f"each site of {', '.join(sites)} needs a route of its own, and no other"
        raise Permanent(f"{_name(plan)} does not route to the plan's sites", detail, _HINT)
    return found


def _subsets(routes: list[Route]) -> list[str]:
    return [str(route.get("destination", {}).get("subset")) for route in routes]


def _weights(routes: list[Route]) -> dict[str, int]:
    weights = {route["destination"]["subset"]: int(route.get("weight", 0)) for route in routes}
    # A route that is alone needs no weight.
    return as_shares(weights if len(weights) > 1 else dict.fromkeys(weights, 1))


def _ask(plan: Plan, method: str, patch: str | None = None) -> dict[str, Any]:
    chosen = _chosen(plan)
    token = _token(plan, chosen)
    url = (
        f"{chosen.api}/apis/networking.istio.io/v1/namespaces/{chosen.namespace}"
        f"/virtualservices/{plan.mesh.retry_policy.name}"
    )
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    if patch is not None:
        headers["Content-Type"] = "application/merge-patch+json"
    try:
        authority = read_secret(plan.folder, chosen.ca_certificate)
        answer = request(method, url, timeout=_TIMEOUT, authority=authority, headers=headers, content=patch)
    except (ssl.SSLError, ValueError):
        raise Permanent(
            f"{chosen.ca_certificate} is no certificate", hint="write the API's CA there"
        ) from None
    except httpx.HTTPError as error:
        raise _unreached(error, chosen) from None
    return _read(plan, answer, token)


def _token(plan: Plan, chosen: Istio) -> str:
    """The service account's token, read anew each time: Kubernetes replaces it."""
    token = read_secret(plan.folder, chosen.token).strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        # An HTTP library would repeat it in its own error.
        raise Permanent(f"{chosen.token} is no token", hint="write the service account's token there")
    return token


def _unreached(error: httpx.HTTPError, chosen: Istio) -> Transient | Permanent:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = f"is {chosen.ca_certificate} the authority of its certificate?"
        return Permanent("the Kubernetes API is not who it should be", chosen.api, hint)
    return Transient("the Kubernetes API does not answer", f"{chosen.api}: {type(error).__name__}")


def _read(plan: Plan, answer: httpx.Response, token: str) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    message = str(told.get("message", "")) if isinstance(told, dict) else ""
    detail = f"HTTP {answer.status_code}: {message.replace(token, _MASK)[:300]}"
    if answer.status_code in _PASSING or answer.is_server_error:
        raise Transient(f"the Kubernetes API does not serve {_name(plan)} now", detail)
    if not answer.is_success or not isinstance(told, dict):
        hint = "does it exist, and may the token get and patch it?"
        raise Permanent(f"the Kubernetes API refuses {_name(plan)}", detail, hint)
    return told
