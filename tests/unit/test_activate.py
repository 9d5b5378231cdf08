"""Services are recovered wave by wave, side by side within one; what fails is told when the rest is done."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from deployments.run import without_server
from flows import activate
from tasks import activate as verbs
from tasks.errors import Permanent, Refused
from tasks.facts.incident import Incident
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
SHIPPED = load_plan(ROOT / "deployments" / "plan.yaml")
SHOP = load_plan(ROOT / "tests" / "lab" / "second_plan.yaml")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CASE = Incident(
    id="inc-7", service="shop-api", failed_site="frankfurt", to_site="dublin", epoch=3, reason="",
    detected_at=NOW, triggered_at=NOW,
)  # fmt: skip
MAIN = "users"


class Site:
    """A site whose services answer as they are told to; it remembers who was begun and stopped when."""

    def __init__(self, monkeypatch):
        self.told = []
        self.broken = {}
        self.together = threading.Barrier(1)
        for verb in (self.activate_service, self.stand_down_service):
            monkeypatch.setattr(activate, verb.__name__, task(cache_policy=NO_CACHE)(verb))

    def activate_service(self, plan, incident, service, wave):
        self.told.append(service)
        if service != "report":
            self.together.wait(20)
        if service in self.broken:
            raise self.broken[service]
        return wave

    def stand_down_service(self, plan, incident, service):
        self.told.append(service)

    def recover(self, plan):
        @flow
        def recover():
            failed = activate.activate_first(plan, CASE)
            self.told.append(MAIN)
            activate.activate_rest(plan, CASE, failed)

        with without_server():
            recover()


@pytest.fixture
def site(monkeypatch):
    return Site(monkeypatch)


def test_a_plan_without_further_services_begins_nothing(site):
    site.recover(SHIPPED)
    assert site.told == [MAIN]


def test_services_of_one_wave_are_begun_together_and_the_next_when_they_are_done(site):
    site.together = threading.Barrier(2)  # each waits until the other one was begun
    site.recover(SHOP)
    assert site.told[0] == MAIN
    assert set(site.told[1:3]) == {"billing", "search"}
    assert site.told[3:] == ["report"]


def test_what_failed_stops_what_needs_it_alone(site):
    site.broken["billing"] = Permanent("it died")
    with pytest.raises(Permanent, match="not recovered: billing, report") as told:
        site.recover(SHOP)
    assert set(site.told) == {MAIN, "billing", "search"}
    assert "not begun: report needs billing" in told.value.detail
    assert "inc-7" in told.value.hint


def test_what_nothing_needs_stops_nothing(site):
    site.broken["search"] = Permanent("it died")
    with pytest.raises(Permanent, match="not recovered: search") as told:
        site.recover(SHOP)
    assert "report" in site.told
    assert "not begun" not in told.value.detail


def test_an_error_of_any_kind_is_a_failure(site):
    site.broken["billing"] = ValueError("a bug")
    with pytest.raises(Permanent, match="not recovered: billing, report"):
        site.recover(SHOP)


def needing(plan, *wanted, priority=2):
    """The shop whose main service comes after others, and needs some of them."""
    service = plan.service.model_copy(update={"priority": priority, "depends_on": wanted})
    others = {
        name: each.model_copy(update={"priority": 1 if name == "search" else 2, "depends_on": ()})
        for name, each in plan.services.items()
    }
    return plan.model_copy(update={"service": service, "services": others})


def test_what_the_main_service_needs_is_there_before_users_arrive(site):
    site.recover(needing(SHOP, "search"))
    assert site.told[:2] == ["search", MAIN]
    assert set(site.told[2:]) == {"billing", "report"}


def test_users_do_not_arrive_where_the_main_service_lacks_what_it_needs(site):
    site.broken["search"] = Permanent("it died")
    with pytest.raises(Permanent, match="not recovered: search, shop-api") as told:
        site.recover(needing(SHOP, "search"))
    assert site.told == ["search"]
    assert "not begun: shop-api needs search" in told.value.detail


def test_a_failure_before_that_the_main_service_does_without_is_told_in_the_end(site):
    site.broken["search"] = Permanent("it died")
    with pytest.raises(Permanent, match="not recovered: search"):
        site.recover(needing(SHOP))
    assert site.told[:2] == ["search", MAIN]
    assert set(site.told[2:]) == {"billing", "report"}


def test_services_stand_down_in_the_order_of_need(site):
    @flow
    def leave():
        activate.stand_down(SHOP, CASE)

    with without_server():
        leave()
    assert site.told[0] == "report"
    assert set(site.told[1:]) == {"billing", "search"}


def test_nothing_is_stopped_where_users_are(monkeypatch):
    monkeypatch.setattr(verbs, "active_site", lambda _plan: "frankfurt")
    monkeypatch.setattr(verbs.switch, "stop_service", lambda *_: pytest.fail("it was stopped"))
    with pytest.raises(Refused, match="frankfurt is active"):
        verbs.stand_down_service.fn.__wrapped__(SHOP, CASE, "search")
