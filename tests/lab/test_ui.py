"""An operator at the UI: starts the failover from its form, watches it, reads the report."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from browser import BUILD, signed_in
from playwright.sync_api import Page, expect

from infra.lab import lab
from infra.lab.control import client_settings
from infra.lab.home import Home
from tasks.clients import service

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


class Prefect:
    """The lab's Prefect, as its REST API tells it."""

    def __init__(self, home: Home) -> None:
        settings = client_settings(home, home.plan())
        user, _, password = settings["PREFECT_API_AUTH_STRING"].partition(":")
        self.client = httpx.Client(base_url=settings["PREFECT_API_URL"], auth=(user, password), timeout=10)

    def deployment_id(self, name: str) -> str:
        answer = self.client.get(f"/deployments/name/{name}/{name}").raise_for_status()
        return str(answer.json()["id"])

    def newest_run(self, deployment: str) -> dict[str, object] | None:
        body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
        runs = self.client.post("/flow_runs/filter", json=body).raise_for_status().json()
        return runs[0] if runs else None

    def wait_for_end(self, deployment: str, timeout: float) -> dict[str, object]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            run = self.newest_run(deployment)
            if run and run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
                return run
            time.sleep(0.5)
        raise AssertionError(f"no run ended within {timeout} s")


@pytest.fixture
def page(home: Home) -> Iterator[Page]:
    with signed_in(home) as page:
        yield page


@pytest.fixture
def home(labs) -> Iterator[Home]:
    ready = labs.fresh("loopback")
    ready.dr("deploy")
    yield ready.home
    labs.end()


@pytest.fixture
def prefect(home: Home) -> Iterator[Prefect]:
    prefect = Prefect(home)
    with prefect.client:
        yield prefect


def test_a_failover_started_from_the_form_shows_its_steps_and_its_report(
    home: Home, prefect: Prefect, page: Page
) -> None:
    plan, deployment = home.plan(), prefect.deployment_id("fail-over")
    lab.break_site(home, plan.site_of("primary"))

    page.goto(f"deployments/deployment/{deployment}/run")
    page.get_by_label(re.compile("^reason")).fill("the region lost power")
    page.get_by_role("button", name="Submit").click()
    run = prefect.wait_for_end(deployment, timeout=120)
    assert run["state_type"] == "COMPLETED", run["state"]

    page.goto(f"runs/flow-run/{run['id']}")
    page.get_by_role("tab", name="Task Runs").click()
    for step in ("fence the old primary", "promote PostgreSQL", "redirect traffic"):
        expect(page.get_by_text(re.compile(step)).first).to_be_visible(timeout=15_000)
    BUILD.mkdir(exist_ok=True)
    page.screenshot(path=BUILD / "ui-steps.png")

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(re.compile("report-inc-")).first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    page.wait_for_url("**/artifacts/artifact/**")
    expect(page.get_by_text("the region lost power").first).to_be_visible(timeout=15_000)
    page.screenshot(path=BUILD / "ui-report.png")

    assert service.round_trip(plan, plan.service.endpoint.url) == plan.site_of("dr")
