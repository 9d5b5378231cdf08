"""Business order: each service after what it needs, and a failure stops what needs it and nothing else."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tasks.facts.incident import StepRecord
from tasks.plan.services import Turn
from tasks.policy.order import around, foretold, not_recovered, recovered, stopped, waves

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def turns(**told):
    """Services as name=(priority, what it needs)."""
    return {name: Turn(priority, tuple(needs.split())) for name, (priority, needs) in told.items()}


SHOP = turns(api=(1, ""), billing=(2, "api"), search=(2, ""), report=(2, "billing"))


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        (turns(api=(1, "")), [["api"]]),
        (SHOP, [["api"], ["billing", "search"], ["report"]]),
        (turns(api=(1, ""), search=(1, ""), billing=(1, "api")), [["api", "search"], ["billing"]]),
        (turns(late=(3, ""), api=(1, ""), next=(2, "")), [["api"], ["next"], ["late"]]),
        (turns(api=(2, "auth"), auth=(1, "")), [["auth"], ["api"]]),
        (turns(d=(1, "b c"), b=(1, "a"), c=(1, "a"), a=(1, "")), [["a"], ["b", "c"], ["d"]]),
        (turns(a=(1, ""), b=(1, "a"), c=(5, "")), [["a"], ["b"], ["c"]]),
    ],
)
def test_waves_follow_dependencies_and_priorities(services, expected):
    assert [list(wave) for wave in waves(services)] == expected


def some_services(seed):
    """Any services whose dependencies are all of the same or a smaller priority, and come before them."""
    dice = random.Random(seed)  # noqa: S311 -- the same services each time
    found = {}
    for number in range(dice.randrange(1, 12)):
        priority = dice.randrange(1, 5)
        able = [name for name, turn in found.items() if turn.priority <= priority]
        found[f"s{number}"] = Turn(priority, tuple(dice.sample(able, min(len(able), dice.randrange(3)))))
    shuffled = list(found)
    dice.shuffle(shuffled)
    return {name: found[name] for name in shuffled}


@pytest.mark.parametrize("seed", range(200))
def test_any_services_come_as_early_as_their_turn_allows_and_not_earlier(seed):
    services = some_services(seed)
    placed = {name: number for number, wave in enumerate(waves(services)) for name in wave}
    assert placed.keys() == services.keys()
    for name, turn in services.items():
        earlier = [other for other, each in services.items() if each.priority < turn.priority]
        before = [placed[other] for other in (*earlier, *turn.depends_on)]
        assert placed[name] == max(before, default=-1) + 1


def test_the_waves_before_the_main_service_are_apart():
    before, rest = around(turns(auth=(1, ""), api=(2, "auth"), mail=(2, ""), billing=(2, "api")), "api")
    assert before == ((1, ("auth",)),)
    assert rest == ((2, ("api", "mail")), (3, ("billing",)))
    assert around(SHOP, "api")[0] == ()


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({}, {}),
        ({"search"}, {}),
        ({"billing"}, {"report": "billing"}),
        ({"api"}, {"billing": "api", "report": "billing"}),
        ({"report", "search"}, {}),
    ],
)
def test_a_failure_stops_all_that_needs_it_and_nothing_else(failed, expected):
    assert stopped(SHOP, failed) == expected


@pytest.mark.parametrize("seed", range(100))
def test_what_a_failure_stops_is_what_reaches_it(seed):
    services = some_services(seed)
    failed = {sorted(services)[seed % len(services)]}

    def needs(name):
        return any(each in failed or needs(each) for each in services[name].depends_on)

    assert stopped(services, failed).keys() == {name for name in services if needs(name)} - failed


def test_the_steps_of_the_other_services_are_foretold_in_order():
    names = [f"activate service {name}" for name in ("billing", "search", "report")]
    assert foretold(SHOP, "api") == names
    assert foretold(turns(api=(1, "")), "api") == []


def test_what_failed_and_what_was_not_begun_is_told_by_name():
    told = not_recovered(SHOP, {"billing": "it died\ndetail: exit 3"}, "inc-7")
    assert told.message == "not recovered: billing, report"
    assert told.detail.splitlines() == [
        "billing failed: it died; detail: exit 3",
        "not begun: report needs billing",
    ]
    assert "dr incident resume inc-7" in told.hint


def test_the_report_has_each_service_in_its_wave():
    def step(name, wave, seconds):
        at = (NOON + timedelta(seconds=seconds)).isoformat()
        result = {"service": name, "wave": wave, "at": at, "hosts": ["web-1"], "absent": {}}
        return StepRecord(
            name=f"activate service {name}", started=NOON, attempts=1, outcome="done", result=result
        )

    steps = [step("report", 3, 9), step("search", 2, 8), step("billing", 2, 5)]
    steps += [
        StepRecord(name="activate service mail", started=NOON, attempts=1, outcome="failed"),
        StepRecord(name="stand down service search", started=NOON, attempts=1, outcome="done", result={}),
    ]
    found = recovered(SHOP, "api", NOON, steps)
    assert [(each.service, each.wave) for each in found] == [
        ("api", 1),
        ("billing", 2),
        ("search", 2),
        ("report", 3),
    ]
    assert found[0].at == NOON
