"""The steps of a move, what is decided after each, and shares that are whole and complete."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tasks.clients.traffic.standing import as_shares, split, standings
from tasks.facts.incident import StepRecord
from tasks.facts.traffic import Watched
from tasks.plan.traffic import Shift
from tasks.policy import words
from tasks.policy.traffic import decide, weights_to

STEPS = (1, 10, 50, 100)
ROOM = 100


def shift(limit="0.01", seconds=100):
    return Shift(pause=timedelta(seconds=seconds), error_limit=Decimal(limit))


def test_the_target_rises_by_the_steps_and_the_others_keep_the_rest():
    assert weights_to({"a": 100, "b": 0}, "b", STEPS) == [
        {"a": 99, "b": 1}, {"a": 90, "b": 10}, {"a": 50, "b": 50}, {"a": 0, "b": 100},
    ]  # fmt: skip


def test_a_move_that_stopped_goes_on_where_it_stands():
    assert [each["b"] for each in weights_to({"a": 70, "b": 30}, "b", STEPS)] == [50, 100]
    assert [each["b"] for each in weights_to({"a": 50, "b": 50}, "b", STEPS)] == [50, 100], "looked at again"


def test_a_move_that_is_done_is_only_looked_at():
    assert weights_to({"a": 0, "b": 100}, "b", STEPS) == [{"a": 0, "b": 100}]


def test_where_nobody_is_served_there_is_nothing_to_keep():
    assert weights_to({"a": 0, "b": 0}, "b", STEPS) == [{"a": 0, "b": 100}]


@pytest.mark.parametrize(
    "now", [{"a": 60, "b": 40, "c": 0}, {"a": 33, "b": 33, "c": 34}, {"a": 1, "b": 99, "c": 0}]
)
def test_every_step_is_complete(now):
    for weights in weights_to(now, "c", (1, 7, 33, 99, 100)):
        assert sum(weights.values()) == 100
        assert min(weights.values()) >= 0


def test_two_others_keep_the_rest_in_their_proportion():
    assert weights_to({"a": 75, "b": 25, "c": 0}, "c", (20,)) == [{"a": 60, "b": 20, "c": 20}]


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (Watched(0, 0, 0), "wait"),
        (Watched(50, 0, 50), "wait"),
        (Watched(50, 1, 50), "wait"),  # 1 of 100 is still within the limit
        (Watched(50, 2, 50), "return"),  # 2 of 100 is not, whatever comes
        (Watched(100, 0, 100), "go on"),
        (Watched(100, 1, 100), "go on"),
        (Watched(100, 2, 100), "return"),
        (Watched(20, 1, 100), "return"),  # slow tries: 1 of 20 is beyond the limit
        (Watched(0, 0, 100), "return"),  # never tried is not healthy
        (Watched(1000, 10, 100), "go on"),
        (Watched(1000, 11, 50), "return"),
    ],
)
def test_the_decision_follows_the_rate(seen, decision):
    assert decide(seen, shift(), ROOM) == decision


def test_no_failure_is_allowed_where_the_limit_is_nothing():
    assert decide(Watched(1, 1, 1), shift("0"), ROOM) == "return"
    assert decide(Watched(100, 0, 100), shift("0"), ROOM) == "go on"


def test_every_failure_is_allowed_where_the_limit_is_all():
    assert decide(Watched(100, 100, 100), shift("1"), ROOM) == "go on"


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"a": 1, "b": 3}, {"a": 25, "b": 75}),
        ({"a": 255, "b": 1}, {"a": 99, "b": 1}),  # a few users are not nobody
        ({"a": 1, "b": 1, "c": 1}, {"a": 34, "b": 33, "c": 33}),
        ({"a": 7, "b": 0}, {"a": 100, "b": 0}),
        ({"a": 0, "b": 0}, {"a": 0, "b": 0}),
    ],
)
def test_shares_are_whole_and_complete(weights, shares):
    assert as_shares(weights) == shares


def test_a_total_is_split_without_a_rest():
    for total in (0, 1, 50, 99, 100):
        assert sum(split(total, {"a": 3, "b": 5, "c": 11}).values()) == total


def test_who_has_no_weight_is_out():
    assert standings({"a": 0, "b": 5}) == {"a": (0, "MAINT"), "b": (100, "UP")}


def redirected(**result):
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return StepRecord(
        name="redirect traffic", started=at, ended=at, attempts=1, outcome="done", result=result or None
    )


def test_the_report_says_by_when_the_last_users_followed():
    [(_, told)] = words._settling([redirected(settle_s=60.0)])
    assert told == "by 12:01:00 UTC, as DNS answers live 60 s"
    for at_once in (redirected(settle_s=0.0), redirected(served_by="a"), redirected()):
        assert words._settling([at_once]) == []
