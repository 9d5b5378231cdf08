"""`make demo`: the main job on the embedded lab, from the first backup to the old site's return."""

import time
from datetime import UTC, datetime
from uuid import uuid4

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from deployments.environment import active_plan, api
from deployments.trigger import trigger, wait_for
from infra.lab import lab
from infra.lab.home import DEFAULT_PLAN, Home, default_directory
from infra.lab.traffic import add_rows, start_load, stop_load
from tasks.clients import service
from tasks.errors import Permanent, Transient
from tasks.evidence import latest_incident, read_report
from tasks.plan.plan import Plan
from tasks.policy.words import report_markdown

_ROWS = 200_000
_RATE = 50
_RUN_S = 600


class Timeline:
    """Tells what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    def tell(self, what: str) -> None:
        """Print one line of the timeline."""
        self._console.print(f"[dim]{time.monotonic() - self._began:7.1f} s[/dim]  {what}")

    def show(self, what: Markdown | Table) -> None:
        """Print something larger."""
        self._console.print(what)


def main() -> None:
    """Run the main job and leave the lab up, with its UI."""
    line = Timeline()
    home = Home(default_directory().resolve())
    lab.down(home)
    line.tell("starting three sites")
    lab.up(home, DEFAULT_PLAN, "loopback", lambda stage: line.tell(f"  {stage}"))
    plan = active_plan()
    from deployments.register import register  # noqa: PLC0415 -- reads Prefect's settings when imported

    register(plan)
    line.tell(f"deployments registered; watch them at {ui_address()}")
    protect(home, plan, line)
    lose_the_primary(home, plan, line)
    bring_it_home(home, plan, line)
    line.show(Markdown(report_markdown(read_report(plan, latest_incident(plan)))))
    line.tell(f"Prefect's UI: {ui_address()} (user admin, password in {plan.secret_path('prefect_api')})")
    line.tell("end the lab with `make down`")


def protect(home: Home, plan: Plan, line: Timeline) -> None:
    """Load data, back everything up, replicate the backups, check the WAL archive at every site."""
    took = add_rows(plan, plan.site_of("primary"), _ROWS)
    line.tell(f"{_ROWS} orders loaded in {took:.1f} s")
    run(line, "backup-database", {"kind": "full"})
    run(line, "backup-database", {"kind": "incr"})
    for kind in ("files", "redis", "configuration", "secrets"):
        run(line, f"backup-{kind}", {})
    run(line, "replicate-backups", {})
    run(line, "check-wal-archiving", {})
    start_load(home, plan, _RATE)
    line.tell(f"users arrive: {_RATE} orders a second through {plan.service.endpoint.url}")
    time.sleep(10)


def lose_the_primary(home: Home, plan: Plan, line: Timeline) -> None:
    """Break the primary site, detect it as a user would, and fail over through the Prefect API."""
    site = plan.site_of("primary")
    killed = lab.break_site(home, site)
    line.tell(f"[red]{site} is dead[/red]: {killed} processes killed")
    detected = detect(plan, line)
    line.tell("[red]disaster detected[/red]; failing over through the Prefect API")
    run(line, "fail-over", {"reason": f"{site} does not answer", "detected_at": detected.isoformat()})
    line.tell(f"users are served by {service.round_trip(plan, plan.service.endpoint.url)}")


def bring_it_home(home: Home, plan: Plan, line: Timeline) -> None:
    """Heal the old site and take it back as a standby; what only it had is saved first."""
    time.sleep(5)
    site = plan.site_of("primary")
    lab.heal(home, site, lambda stage: line.tell(f"  {stage}"))
    line.tell(f"{site} has power again")
    run(line, "bring-back", {})
    stop_load(home)
    line.tell(f"{site} is a standby; the load has ended")


def detect(plan: Plan, line: Timeline) -> datetime:
    """Probe the public endpoint as the plan's health check says, until it failed often enough.

    Raises:
        Permanent: nothing failed within five minutes.
    """
    probe = plan.high_availability.failover.health_checks[0]
    failures, deadline = 0, time.monotonic() + 300
    while time.monotonic() < deadline:
        began = time.monotonic()
        failures = 0 if _healthy(plan) else failures + 1
        if failures == probe.retries:
            return datetime.now(UTC)
        line.tell(f"  health check: {f'failed {failures} of {probe.retries}' if failures else 'passed'}")
        time.sleep(max(0.0, probe.interval.total_seconds() - (time.monotonic() - began)))
    raise Permanent("the outage was not seen")


def run(line: Timeline, deployment: str, parameters: dict[str, object]) -> None:
    """Start a deployment through the Prefect API and wait for its end.

    Raises:
        Permanent: it did not complete.
    """
    began = time.monotonic()
    state = wait_for(api(), trigger(api(), deployment, parameters, str(uuid4())), _RUN_S)
    if state["type"] != "COMPLETED":
        raise Permanent(f"{deployment} ended {state['name']}", state.get("message") or "")
    told = f"{deployment} {parameters.get('kind', '')}".strip()
    line.tell(f"{told}: done in {time.monotonic() - began:.1f} s")


def ui_address() -> str:
    """Where a person opens the UI."""
    return api().url.removesuffix("/api")


def _healthy(plan: Plan) -> bool:
    try:
        return service.healthy(plan.service.endpoint.url, plan.high_availability.failover.quickest.endpoint)
    except Transient:
        return False


if __name__ == "__main__":
    main()
