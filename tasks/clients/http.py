"""The one HTTP door to the plan's servers: one request, with a deadline."""

import ssl
from functools import cache
from typing import Any

import httpx


def request(method: str, url: str, *, timeout: httpx.Timeout, **content: Any) -> httpx.Response:
    """Make one request, straight to the server: the environment's proxies are for other places.

    Args:
        method: such as GET.
        url: the address.
        timeout: seconds for connecting, and for each read and write.
        content: httpx's own, such as `json` and `auth`.

    Raises:
        httpx.HTTPError: the server does not answer.
    """
    return httpx.request(method, url, timeout=timeout, verify=tls(), trust_env=False, **content)


@cache
def tls() -> ssl.SSLContext:
    """What httpx trusts: the authorities of its own bundle, read once."""
    # httpx would read all authorities anew for each request, even for one without TLS: 25 ms and more.
    return httpx.create_ssl_context()
