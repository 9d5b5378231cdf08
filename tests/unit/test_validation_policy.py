"""A verdict is passed only where everything was checked and held; a pace is held against its baseline."""

import threading
from datetime import UTC, datetime

import pytest

from tasks.errors import Permanent, Refused, Transient
from tasks.facts.validation import Baseline, CheckResult, Pace, Subject, Validated
from tasks.plan.validation import Performance
from tasks.policy.validation import (
    SUITES,
    chosen_suites,
    comparable,
    not_passed,
    paced,
    slower,
    validation_markdown,
    verdict,
)
from tasks.suites import examine, in_order

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LIMITS = Performance(max_latency_ratio=2.0, min_throughput_ratio=0.5)


def result(outcome, suite="smoke", name="a check"):
    return CheckResult(suite=suite, name=name, outcome=outcome, detail="seen", seconds=0.1)


@pytest.mark.parametrize(
    ("suites", "outcomes", "expected"),
    [
        (["smoke"], ["passed", "passed"], "passed"),
        (["smoke"], ["passed", "unknown"], "unknown"),
        (["smoke"], ["unknown", "failed", "passed"], "failed"),
        (["smoke"], [], "unknown"),
        (["smoke", "security"], ["passed"], "unknown"),
        ([], [], "unknown"),
    ],
)
def test_unknown_and_silent_are_not_passed(suites, outcomes, expected):
    assert verdict(suites, [result(outcome) for outcome in outcomes]) == expected


def test_what_did_not_pass_is_named_with_the_suites_that_checked_nothing():
    checks = (result("passed"), result("failed", name="orders"), result("unknown", "security", "ports"))
    found = Validated(
        subject=Subject(site="west", incident="inc-1"),
        at=NOW, suites=("smoke", "performance", "security"), verdict="failed", checks=checks,
    )  # fmt: skip
    lines = [
        "smoke: orders: failed: seen",
        "security: ports: unknown: seen",
        "performance: nothing was checked",
    ]
    assert not_passed(found) == lines
    page = validation_markdown(found)
    assert page.startswith("# Validation: failed\n")
    assert all(f"- {line}" in page for line in lines)
    assert "west, 2026-11-25 00:00:00 UTC, inc-1" in page
    assert page.count("\n| smoke |") == 2


def test_suites_are_chosen_once_and_in_their_order():
    assert chosen_suites(None) == SUITES
    assert chosen_suites(["security", "smoke", "security"]) == ("smoke", "security")
    with pytest.raises(Refused, match="no suite"):
        chosen_suites([])


def pace(p50=10.0, p95=20.0, errors=0, seconds=1.0, requests=100, path="/orders"):  # noqa: PLR0913 -- fields
    return Pace(
        path=path, concurrency=4, requests=requests, errors=errors, seconds=seconds, p50_ms=p50, p95_ms=p95
    )


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (pace(), []),
        (pace(p50=20.0, p95=40.0, seconds=2.0), []),
        (pace(p50=20.1), ["p50 20.1 ms, over 2 times 10.0 ms"]),
        (pace(p95=40.1), ["p95 40.1 ms, over 2 times 20.0 ms"]),
        (pace(seconds=2.1), ["48 requests a second, under 0.5 of 100"]),
        (pace(errors=1), ["1 of 100 requests failed"]),
    ],
)
def test_a_pace_within_the_limits_is_good_and_one_beyond_is_named(now, found):
    assert slower(now, pace(), LIMITS) == found


def test_nothing_answered_is_slower_than_anything():
    silent = paced("/orders", 4, [], 7, 10.0)
    assert (silent.requests, silent.errors, silent.throughput) == (7, 7, 0.0)
    assert slower(silent, pace(), LIMITS) == [
        "7 of 7 requests failed",
        "0 requests a second, under 0.5 of 100",
    ]


def test_percentiles_are_those_of_the_times():
    found = paced("/orders", 4, [n / 1000 for n in range(1, 102)], 0, 2.0)
    assert (round(found.p50_ms), round(found.p95_ms)) == (51, 96)
    assert found.throughput == pytest.approx(50.5)
    assert paced("/orders", 4, [0.25], 0, 1.0).p95_ms == 250


def test_only_the_same_probe_is_comparable():
    baseline = Baseline(site="east", at=NOW, pace=pace())
    assert comparable(pace(p50=99), baseline)
    assert not comparable(pace(path="/health"), baseline)


def _raise(error):
    raise error


def test_a_checks_end_is_its_outcome():
    jobs = {
        "good": lambda: "all well",
        "wrong": lambda: _raise(Permanent("it is wrong", "so wrong")),
        "silent": lambda: _raise(Transient("no answer")),
        "crashed": lambda: _raise(KeyError("oops")),
    }
    found = {each.name: each for each in examine("smoke", jobs, 5)}
    assert {name: each.outcome for name, each in found.items()} == {
        "good": "passed", "wrong": "failed", "silent": "unknown", "crashed": "unknown",
    }  # fmt: skip
    assert (found["good"].detail, found["wrong"].detail) == ("all well", "it is wrong: so wrong")
    assert "oops" in found["crashed"].detail


def test_a_check_that_hangs_is_unknown_at_the_deadline():
    release = threading.Event()
    try:
        quick, hung = examine("smoke", {"quick": lambda: "", "hung": lambda: str(release.wait(30))}, 0.3)
    finally:
        release.set()
    assert (quick.outcome, hung.outcome, hung.seconds) == ("passed", "unknown", 0.3)


def test_a_workflow_stops_where_it_broke():
    went = []
    jobs = {
        "place": lambda: str(went.append("place")),
        "read": lambda: _raise(Permanent("gone")),
        "list": lambda: str(went.append("list")),
    }
    outcomes = [(each.name, each.outcome) for each in in_order("integration", jobs, 5)]
    assert outcomes == [("place", "passed"), ("read", "failed"), ("list", "unknown")]
    assert went == ["place"]
