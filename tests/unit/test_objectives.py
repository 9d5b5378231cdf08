"""Objectives from reports: each figure by hand, and nothing met that is not known."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from memory_journal import Journal
from reports import NOON, report
from third_parties import INCIDENT

from tasks.evidence import unended_since
from tasks.facts.loss import Loss
from tasks.facts.report import Phases
from tasks.facts.response import Decision
from tasks.policy.objectives import achieved, forecast

DAY = timedelta(days=1)
TIER = SimpleNamespace(rto=timedelta(hours=1), rpo=timedelta(minutes=15), availability=0.999)
SHOP = SimpleNamespace(name="shop", tier="premium")
GB = 10**9


def outage(total, day=1, lost=0.0, **changed):
    loss = Loss(
        lost_transactions=0 if lost is not None else None,
        lost_seconds=lost,
        basis="exact" if lost is not None else "unknown",
    )
    took = Phases(detect=total, decide=0, execute=0, verify=0, total=total)
    return report(detected_at=NOON + day * DAY, rto_seconds=took, rpo=loss, **changed)


def over_thirty_days(*reports):
    return achieved(SHOP, TIER, reports, NOON, NOON + 30 * DAY)


def told(found):
    return {each.name: (each.measured, each.met) for each in found.objectives}


def test_a_quiet_month_is_fully_available_and_proves_no_recovery():
    found = over_thirty_days()
    assert (found.availability, found.failures, found.mttr_seconds, found.mtbf_seconds) == (
        1.0,
        0,
        None,
        None,
    )
    assert found.budget_left_seconds == pytest.approx(2592)
    assert told(found) == {"RTO": ("", None), "RPO": ("", None), "availability": ("100.0000%", True)}


def test_two_failures_and_a_move():
    found = over_thirty_days(
        outage(600, 1, 3.0), outage(1200, 9, 60.0), outage(0, 12, kind="switchover", write_pause_seconds=4.0)
    )
    assert (found.failures, found.moves, found.downtime_seconds) == (2, 1, 1804)
    assert found.mttr_seconds == 900
    assert found.mtbf_seconds == (30 * 86400 - 1804) / 2
    assert found.budget_left_seconds == pytest.approx(788)
    assert told(found)["RTO"] == ("worst 1200.0 s", True)
    assert told(found)["RPO"] == ("worst 60.0 s", True)
    assert told(found)["availability"][1]


def test_what_was_missed_is_said():
    found = over_thirty_days(outage(4000, 1, 1000.0))
    assert {name: met for name, (_, met) in told(found).items()} == {
        "RTO": False,
        "RPO": False,
        "availability": False,
    }
    assert found.budget_left_seconds < 0


def test_a_loss_that_is_not_known_is_not_met():
    found = over_thirty_days(outage(10, 1, 1.0), outage(10, 2, None))
    assert told(found)["RPO"] == ("worst 1.0 s, one is unknown", False)


def test_incidents_outside_the_window_do_not_count():
    assert over_thirty_days(outage(600, -1), outage(600, 30)).failures == 0


def test_restores_are_forecast_by_the_slowest_and_by_the_growth():
    restores = [(NOON + 30 * DAY, 130 * GB, 1300.0), (NOON, 100 * GB, 800.0)]
    found = forecast(restores, timedelta(hours=1))
    assert found.bytes_per_second == 100 * 10**6
    assert found.seconds_now == 1300
    assert found.bytes_a_day == pytest.approx(GB)
    # 360 GB are restored in the hour: 230 more than now, at 1 GB a day.
    assert found.late_at - (NOON + 260 * DAY) < timedelta(minutes=1)


def test_without_growth_no_restore_ever_takes_too_long():
    assert forecast([(NOON, GB, 10.0)], timedelta(hours=1)).late_at is None
    assert forecast([(NOON, 2 * GB, 20.0), (NOON + DAY, GB, 10.0)], timedelta(hours=1)).late_at is None
    assert forecast([], timedelta(hours=1)) is None


def test_what_takes_too_long_already_is_late_now():
    assert forecast([(NOON, GB, 7200.0)], timedelta(hours=1)).late_at == NOON


def test_what_a_disaster_without_a_report_cost_is_not_known():
    found = achieved(SHOP, TIER, [outage(600)], NOON, NOON + 30 * DAY, unended=1)
    assert told(found)["availability"] == ("99.9769%, less what 1 unended cost", None)
    worse = achieved(SHOP, TIER, [outage(6000)], NOON, NOON + 30 * DAY, unended=1)
    assert told(worse)["availability"][1] is False, "what is missed already stays missed"


def test_only_disasters_that_go_on_have_no_end(monkeypatch):
    journal = Journal()
    monkeypatch.setattr("tasks.evidence.journal", journal)
    decisions = {"off": "refused", "on": "automatic"}
    for name, kind, days in (
        ("ended", "failover", 1), ("open", "failover", 1), ("on", "cold", 1), ("off", "failover", 1),
        ("move", "switchover", 1), ("old", "failover", -1),
    ):  # fmt: skip
        case = INCIDENT.model_copy(update={"id": name, "kind": kind, "detected_at": NOON + days * DAY})
        journal.write(None, "", name, "incident.json", case.model_dump_json())
        if outcome := decisions.get(name):
            decided = Decision(outcome=outcome, why="", votes=(), at=NOON)
            journal.write(None, "", name, "decision.json", decided.model_dump_json())
    journal.write(None, "", "ended", "report.json", "{}")
    assert unended_since(None, NOON) == ["on", "open"]
