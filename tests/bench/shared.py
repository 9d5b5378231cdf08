"""What the benches share: the same fresh lab for every run, its users, a disaster and its detection."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from infra.lab.control import client_settings
from infra.lab.home import Home, default_directory, program
from tasks.clients import patroni, service
from tasks.errors import Permanent, Transient
from tasks.facts.report import Report
from tasks.plan.plan import Plan

BUILD = Path(__file__).parents[2] / "build"
SETTLE_S = 6
ENDLESS_S = 900


class Bench:
    """A lab that is made anew before every run."""

    def __init__(self) -> None:
        self.home = Home(default_directory().resolve())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dr("lab", "down")

    def dr(self, *arguments: str) -> str:
        """The `dr` command, in an environment that knows no older lab."""
        known = {"PATH", "DR_LAB", "HOME", "LANG"}
        environment = {name: value for name, value in os.environ.items() if name in known}
        argv = [program("dr"), *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=ENDLESS_S, env=environment, check=False
        )
        if done.returncode:
            raise Permanent(f"dr {' '.join(arguments)} failed", (done.stdout + done.stderr)[-2000:])
        return done.stdout

    def fresh(self) -> Plan:
        """A new lab with its users: the primary site active, the deployments registered, the load running."""
        self.dr("lab", "down")
        self.dr("lab", "up")
        self.dr("deploy")
        plan = self.home.plan()
        self.dr("lab", "load")
        if service.round_trip(plan, plan.service.endpoint.url) != plan.site_of("primary"):
            raise Permanent("the lab does not begin at its primary site")
        time.sleep(SETTLE_S)
        return plan

    def settings(self, plan: Plan) -> dict[str, str]:
        """The environment of whatever talks to the lab's Prefect."""
        return client_settings(self.home, plan)

    def report(self) -> Report:
        """The newest incident's report, as `dr` tells it."""
        return Report.model_validate_json(self.dr("report", "latest", "--json"))


def detect(plan: Plan, phase_s: float) -> datetime:
    """Wait until the plan's own health check has failed as often as it asks.

    Args:
        plan: names the check, which probes the public endpoint as users do.
        phase_s: seconds from now to the first probe.

    Raises:
        Permanent: the outage is not seen.
    """
    probe = plan.high_availability.failover.health_checks[0]
    time.sleep(phase_s)
    failures, deadline = 0, time.monotonic() + ENDLESS_S
    while time.monotonic() < deadline:
        began = time.monotonic()
        failures = 0 if _healthy(plan) else failures + 1
        if failures == probe.retries:
            return datetime.now(UTC)
        time.sleep(max(0.0, probe.interval.total_seconds() - (time.monotonic() - began)))
    raise Permanent("the outage was not seen")


def lease_held(plan: Plan) -> bool:
    """Whether the dead primary's leader key is still there."""
    return patroni.leader_key(plan, plan.site_of("primary")) is not None


def phases(plan: Plan, count: int) -> list[float]:
    """Seconds from the break to the first probe, spread over one interval of the health check."""
    interval = plan.high_availability.failover.health_checks[0].interval.total_seconds()
    return [(run + 0.5) * interval / count for run in range(count)]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile; with fewer than twenty values the latter is near the worst."""
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return {"median": round(statistics.median(seconds), 3), "p95": round(p95, 3)}


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of ours over theirs, run by run: each pair was measured one right after the other.

    A disk or a processor that is slower for some minutes then slows both sides of a ratio.
    """
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def write_results(name: str, results: dict[str, Any]) -> None:
    """Write build/NAME."""
    BUILD.mkdir(exist_ok=True)
    (BUILD / name).write_text(json.dumps(results, indent=2) + "\n")


def count_asked() -> int:
    """How many runs: the first argument, else COUNT, else ten."""
    return int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("COUNT", "10"))


def _healthy(plan: Plan) -> bool:
    try:
        return service.healthy(plan.service.endpoint.url, plan.high_availability.failover.quickest.endpoint)
    except Transient:
        return False
