"""A shop of services that need each other: recovered in order, or what needs one that failed is not begun."""

import json
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from lab_handle import SECOND_PLAN
from waiting import until

from tasks.clients import service, switch
from tasks.clients.layout import service_file
from tasks.clients.listeners import listening
from tasks.clients.truth import read_truth
from tasks.errors import DrError
from tasks.evidence import read_report
from tasks.facts.watch import Moment
from tasks.policy.watch import rule_of
from tasks.policy.words import report_markdown
from tasks.watching import Prober

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long]

SERVICES = {"billing", "search", "report"}
PATIENCE_S = 120


@pytest.fixture(scope="module")
def lab(labs):
    """A lab of its own; the first test leaves its primary site broken, the second one brings it back."""
    yield labs.fresh("loopback", SECOND_PLAN)
    labs.end()


def served(base, plan):
    """The services that are healthy below a base."""
    return {name for name, each in plan.services.items() if well(base, each.public_health)}


def well(base, path):
    try:
        return service.healthy(base, path)
    except DrError:
        return False


def unwell(plan, site):
    """The services that the watch at the archive site sees in no good state."""
    eyes = Prober(plan, plan.site_of("archive"), rule_of(plan))
    look = eyes.look(site, Moment(time.monotonic(), datetime.now(UTC)))
    asked = {probe.what.removeprefix("service "): probe for probe in look.checks}
    return {name for name in plan.services if asked[name].outcome != "good"}


def running(plan, site):
    """The services that listen on any host of a site."""
    addresses = plan.sites[site].addresses("service")
    return {name for name, each in plan.services.items() if any(listening(a, [each.port]) for a in addresses)}


def files(lab, site, service):
    hosts = lab.plan.sites[site].running("service")
    return [lab.home.root(site, host) / service_file(service) for host in hosts]


def report(lab):
    return json.loads(lab.dr("report", "latest", "--json"))


def steps(told):
    return {step["name"]: step for step in told["steps"]}


def begun_before(one, other):
    return one["started"] < other["ended"]


@pytest.mark.timeout(600)
def test_a_service_that_fails_stops_what_needs_it_and_nothing_else_until_it_is_mended(lab):
    plan = lab.plan
    home, away = plan.site_of("primary"), plan.site_of("dr")
    assert (home, away) == ("frankfurt", "dublin")
    public = plan.service.endpoint.url
    until(lambda: served(public, plan) == SERVICES, PATIENCE_S)
    assert running(plan, away) == set()

    lacking = [*files(lab, away, "billing"), files(lab, away, "search")[1]]
    for file in lacking:
        file.rename(file.with_suffix(".aside"))
    lab.dr("lab", "break", home)
    done = lab.attempt("run", "fail-over", "--param", "reason=power loss", site=away)
    assert done.returncode == 1
    assert "not recovered: billing, report" in done.stderr
    assert "billing is not installed" in done.stderr
    assert "not begun: report needs billing" in done.stderr
    assert service.round_trip(plan, public) == away
    assert served(public, plan) == {"search"} == running(plan, away)
    assert unwell(plan, away) == {"billing", "report"}
    truth, _ = read_truth(plan)
    assert (truth.active, truth.done) == (away, False)

    for file in lacking:
        file.with_suffix(".aside").rename(file)
    mended = datetime.now(UTC).isoformat()
    lab.dr("incident", "resume", truth.incident, "--here", site=away)
    assert served(public, plan) == SERVICES
    assert unwell(plan, away) == set()
    assert read_truth(plan)[0].done
    told = {each["service"]: each for each in report(lab)["services"]}
    assert {name: each["wave"] for name, each in told.items()} == {
        "shop-api": 1, "billing": 2, "search": 2, "report": 3,
    }  # fmt: skip
    assert told["search"]["absent"].keys() == {"web-dub-2"}, "it was served by the other host"
    assert told["search"]["at"] < mended < told["billing"]["at"] < told["report"]["at"]


@pytest.mark.timeout(300)
def test_services_stand_down_where_they_come_back_and_go_home_wave_by_wave(lab):
    plan = lab.plan
    home, away = plan.site_of("primary"), plan.site_of("dr")
    lab.dr("lab", "heal", home)
    for host in plan.sites[home].running("service"):  # as a machine does that starts all it has
        switch.start_service(plan, home, host, "search")
    assert running(plan, home) == {"search"}
    lab.dr("run", "bring-back", site=away)
    assert running(plan, home) == set()
    assert running(plan, away) == SERVICES

    until(partial(_moved_home, lab, away), PATIENCE_S)
    assert served(plan.service.endpoint.url, plan) == SERVICES == running(plan, home)
    assert running(plan, away) == set()
    told = report(lab)
    assert (told["kind"], told["to_site"]) == ("switchover", home)
    took = steps(told)
    billing, search, last = (took[f"activate service {name}"] for name in ("billing", "search", "report"))
    assert begun_before(billing, search)
    assert begun_before(search, billing)
    assert max(billing["ended"], search["ended"]) <= last["started"]
    stopped = [took[f"stand down service {name}"] for name in ("report", "billing")]
    assert stopped[0]["ended"] <= stopped[1]["started"]
    page = report_markdown(read_report(plan, told["incident"]))
    assert "| services, wave 3 | report at " in page


def _moved_home(lab, away):
    """A planned move is refused with nothing touched until both sites are well."""
    done = lab.attempt("run", "fail-back", site=away)
    assert done.returncode in {0, 2}, done.stderr
    return done.returncode == 0
