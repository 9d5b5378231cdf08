"""An operator's whole story in the browser alone: the alert, the assessment, the word of a commander, the
progress, the report."""

import re
from collections.abc import Iterator

import pytest
import yaml
from browser import BUILD, follow, reload_until, signed_in
from lab_handle import Lab
from playwright.sync_api import Page, expect

from infra.lab.home import DEFAULT_PLAN
from tasks.clients import journal, service
from tasks.clients.truth import read_truth
from tasks.facts.response import Decision

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(1200), pytest.mark.long]

SHOTS = BUILD / "story"
REASON = "the region lost power; seen by two of us"
COMMENT = "I was told so by the provider too"


@pytest.fixture
def lab(labs, tmp_path) -> Iterator[Lab]:
    """A lab whose plan leaves the declaration to people."""
    document = yaml.safe_load(DEFAULT_PLAN.read_text(encoding="utf-8"))
    document["high_availability"]["failover"]["automatic"] = False
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(document), encoding="utf-8")
    lab = labs.fresh("loopback", plan)
    lab.dr("deploy", timeout=400)
    yield lab
    labs.end()


@pytest.fixture
def page(lab) -> Iterator[Page]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with signed_in(lab.home) as page:
        expect.set_options(timeout=40_000)
        yield page


def test_an_operator_recovers_the_service_with_nothing_but_the_ui(lab, page):
    plan = lab.plan
    home, away = plan.site_of("primary"), plan.site_of("dr")
    lab.dr("lab", "load", "--rate", "10")
    lab.dr("lab", "break", home)

    sees_the_alert(page, home)
    raises_the_alarm(page)
    run = waits_for_commanders(page)
    reads_the_assessment(page, plan)
    page.goto(run)
    declares(page, plan)
    watches_it_move(page, run, away)
    incident = reads_the_report(page, home, away)

    assert service.round_trip(plan, plan.service.endpoint.url) == away
    truth, _ = read_truth(plan)
    assert (truth.active, truth.done, truth.incident) == (away, True, incident)
    decision = Decision.model_validate_json(journal.read(plan, incident, "decision.json"))
    assert [(vote.commander, vote.comment) for vote in decision.votes] == [("grace-moreau", COMMENT)]


def sees_the_alert(page, site):
    """The vantages' word in the event feed, soon after the site was lost."""
    page.get_by_role("link", name="Event Feed").click()
    alert = page.get_by_role("listitem").filter(has_text="naas-dr.site.suspected").filter(has_text=site)
    reload_until(page, alert, 150)
    alert.first.get_by_role("button", name="Expand event details").click()
    expect(alert.first).to_contain_text(f"every vantage with eyes has lost {site}")
    shot(page, "1-alert")


def raises_the_alarm(page):
    """From the deployment's own form; what is left empty is the active site, now, by hand."""
    page.get_by_role("link", name="Deployments").click()
    page.get_by_placeholder("Search deployments").fill("respond")
    page.locator("a[href*='/deployments/deployment/']", has_text="respond").first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    page.get_by_label(re.compile("^reason")).fill(REASON)
    shot(page, "2-alarm")
    with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as answered:
        page.get_by_role("button", name="Submit").click()
    assert answered.value.ok


def waits_for_commanders(page):
    """The run among the runs, by the question that it asks; its address."""
    page.get_by_role("link", name="Runs", exact=True).click()
    run = page.get_by_role("link", name="is the active site lost?")
    reload_until(page, run, 60)
    follow(page, run, "**/runs/flow-run/**")
    reload_until(page, page.get_by_text("Paused"), 60)
    shot(page, "3-run")
    return page.url


def reads_the_assessment(page, plan):
    home, away = plan.site_of("primary"), plan.site_of("dr")
    page.get_by_role("tab", name="Artifacts").click()
    opens_artifact(page, "assessment-inc-")
    shown = page.get_by_test_id("markdown-display")
    expect(shown.get_by_role("heading", name=f"Is {home} lost?")).to_be_visible()
    for words in (
        REASON,
        "not served",
        f"hot standby {away}",
        "One commander must declare by",
        "choose Resume",
    ):
        expect(shown).to_contain_text(words)
    for part in ("service", "PostgreSQL", "Redis", "storage"):
        row = shown.get_by_role("row").filter(has=page.get_by_role("cell", name=part, exact=True))
        expect(row).to_contain_text("no answer")
    shot(page, "4-assessment")


def declares(page, plan):
    """In the run's own form, which offers the plan's commanders and nobody else."""
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("heading", name=f"Is {plan.site_of('primary')} lost?")).to_be_visible()
    form.get_by_label("Select Commander").click()
    offered = page.get_by_role("option")
    expect(offered).to_have_text(list(plan.declaration.commanders))
    page.get_by_role("option", name="grace-moreau").click()
    form.get_by_label("Select Decision").click()
    page.get_by_role("option", name="declare").click()
    form.get_by_label(re.compile("^Comment")).fill(COMMENT)
    shot(page, "5-declaration")
    form.get_by_role("button", name="Resume").click()
    expect(form).to_be_hidden()


def watches_it_move(page, run, away):
    """From the run to its recovery to how far that is."""
    page.goto(run)
    page.get_by_role("tab", name="Subflow Runs").click()
    recovery = page.get_by_role("tabpanel").locator("a[href*='/runs/flow-run/']")
    reload_until(page, recovery, 60)
    recovery.first.click()
    page.wait_for_url(lambda url: url.split("?")[0] != run.split("?")[0])
    page.get_by_role("tab", name="Artifacts").click()
    opens_artifact(page, "progress-inc-")
    shot(page, "6-progress")
    reload_until(page, page.get_by_text("Progress: 100%"), 90)
    expect(page.get_by_text(re.compile(rf"All \d+ steps done: {away} serves the users"))).to_be_visible()
    shot(page, "7-recovered")


def reads_the_report(page, home, away):
    """Among what the recovery left; the incident's id."""
    follow(page, page.locator("a[href*='/runs/flow-run/']"), "**/runs/flow-run/**")
    page.get_by_role("tab", name="Artifacts").click()
    opens_artifact(page, "report-inc-")
    shown = page.get_by_test_id("markdown-display")
    for words in (
        f"{away} took over from {home}, which was lost",
        REASON,
        "declared by grace-moreau",
        COMMENT,
    ):
        expect(shown).to_contain_text(words)
    expect(shown.get_by_role("row").filter(has_text="verdict")).to_contain_text("met")
    expect(shown.get_by_role("row").filter(has_text="missing")).to_contain_text("acknowledged")
    for step in ("fence the old primary", "promote PostgreSQL", "redirect traffic"):
        expect(shown.get_by_role("row").filter(has_text=step)).to_contain_text("done")
    shot(page, "8-report")
    return shown.get_by_role("heading").first.inner_text().strip()


def opens_artifact(page, name):
    """The newest artifact of a name, from whatever lists it."""
    card = page.get_by_role("link").filter(has_text=name)
    reload_until(page, card, 60)
    follow(page, card, "**/artifacts/key/**")
    follow(page, page.locator("a[href*='/artifacts/artifact/']"), "**/artifacts/artifact/**")


def shot(page, name):
    page.screenshot(path=SHOTS / f"{name}.png")
