"""How fast the service answers: a bounded number of requests from a few clients at once."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from tasks.clients.http import PROOF, tls


def measure(url: str, *, requests: int, concurrency: int, limit: float) -> tuple[list[float], int, float]:
    """Read an address again and again.

    Args:
        url: what is read with GET.
        requests: how many requests all clients make together.
        concurrency: how many clients there are; each keeps its connection.
        limit: seconds after which no further request is begun.

    Returns:
        the seconds that each good answer took, how many requests failed, and the seconds of all together.
    """
    numbers = itertools.count()
    with ThreadPoolExecutor(concurrency) as pool:
        began = time.monotonic()
        deadline = began + limit
        turns = [pool.submit(_client, url, numbers, requests, deadline) for _ in range(concurrency)]
        results = [turn.result() for turn in turns]
        took = time.monotonic() - began
    times = [seconds for good, _ in results for seconds in good]
    return times, sum(failed for _, failed in results), took


def _client(url: str, numbers: Iterator[int], requests: int, deadline: float) -> tuple[list[float], int]:
    good, failed = [], 0
    timeout = httpx.Timeout(3.0, connect=1.0)
    with httpx.Client(timeout=timeout, trust_env=False, verify=tls(), headers=PROOF) as client:
        while next(numbers) < requests and time.monotonic() < deadline:
            began = time.monotonic()
            try:
                ok = client.get(url).is_success
            except httpx.HTTPError:
                ok = False
            if ok:
                good.append(time.monotonic() - began)
            else:
                failed += 1
    return good, failed
