"""The one HTTP door to the plan's servers: one request, with a deadline."""

import ssl
from functools import lru_cache
from typing import Any

import httpx

from tasks.clients.telemetry.spans import called

# What proves a recovery must not be shed with what the service can do without.
PROOF = {"X-Request-Priority": "critical"}


def request(
    method: str, url: str, *, timeout: httpx.Timeout, authority: str | None = None, **content: Any
) -> httpx.Response:
    """Make one request, straight to the server: the environment's proxies are for other places.

    Args:
        method: such as GET.
        url: the address.
        timeout: seconds for connecting, and for each read and write.
        authority: the certificates, as PEM, that the server's must go back to; well-known ones where None.
        content: httpx's own, such as `json` and `auth`.

    Raises:
        httpx.HTTPError: the server does not answer.
        ssl.SSLError: the authority is no certificate.
    """
    place = httpx.URL(url)
    known = {"http.request.method": method, "server.address": place.host, "url.path": place.path}
    with called(f"{method} {place.host}", known) as passed_on:
        content["headers"] = {**(content.get("headers") or {}), **passed_on}
        return httpx.request(method, url, timeout=timeout, verify=tls(authority), trust_env=False, **content)


@lru_cache(8)
def tls(authority: str | None = None) -> ssl.SSLContext:
    """What httpx trusts: the authorities of its own bundle, or one given in PEM; read once."""
    # httpx would read all authorities anew for each request, even for one without TLS: 25 ms and more.
    if authority is None:
        return httpx.create_ssl_context()
    return ssl.create_default_context(cadata=authority)
