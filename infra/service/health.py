"""The answer of GET /health: the seed's "Health Check Implementation", with measured times."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Check = Callable[[], Awaitable[None]]

_LABELS = {"database": "Database", "redis": "Redis", "external_api": "External API"}
# Seconds; longer than what each check allows itself.
_DEADLINE = 2.0


async def examine(checks: Mapping[str, Check]) -> dict[str, Any]:
    """Run all checks at once and report them in the seed's shape.

    Args:
        checks: by name; a check that raises, or takes more than 2 s, is unhealthy.

    Returns:
        status, timestamp (epoch seconds) and checks, each with response_time in seconds or an error.
    """
    results = await asyncio.gather(*(_measured(name, check) for name, check in checks.items()))
    return report(dict(zip(checks, results, strict=True)), time.time())


def report(results: Mapping[str, Mapping[str, Any]], timestamp: float) -> dict[str, Any]:
    """The whole answer: one unhealthy check makes it unhealthy, as the seed says."""
    healthy = all(result["status"] == "healthy" for result in results.values())
    return {"status": "healthy" if healthy else "unhealthy", "timestamp": timestamp, "checks": dict(results)}


def status_code(answer: Mapping[str, Any]) -> int:
    """The HTTP status, which decides whether a gateway still sends orders here.

    The seed leaves it open. Orders need the database alone: without Redis reads become slower, and
    without the external API nothing changes for an order, so both leave 200 beside the status
    "unhealthy". A 503 there would let a lost cache, or somebody else's outage, take every instance
    of every site out of service at once.
    """
    return 200 if answer["checks"]["database"]["status"] == "healthy" else 503


async def _measured(name: str, check: Check) -> dict[str, Any]:
    label = _LABELS.get(name, name)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_DEADLINE):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a check dies of, its dependency is not healthy
        reason = str(error) or type(error).__name__
        return {"status": "unhealthy", "error": reason, "details": f"{label} connection failed"}
    elapsed = round(time.perf_counter() - started, 6)
    return {"status": "healthy", "response_time": elapsed, "details": f"{label} connection successful"}
