"""When a drill may be held, and what a commander is asked before it moves production."""

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

sys.path.append(str(Path(__file__).parents[1]))
from ready_sights import well

from tasks.drill_guard import ask_permission
from tasks.errors import Refused, Transient
from tasks.plan.drills import Blackout
from tasks.plan.load import load_plan
from tasks.plan.window import Window
from tasks.policy.drill import blacked_out
from tasks.policy.drill_guard import question, risks
from tasks.policy.readiness import judge_readiness

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
SATURDAY = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture(scope="module")
def plan():
    return load_plan(PLAN)


def window(words):
    return Window.model_validate(words)


@pytest.mark.parametrize(
    ("words", "hours", "left"),
    [
        ("daily from 2:00 AM to 6:00 AM UTC", 2, 4),
        ("daily from 2:00 AM to 6:00 AM UTC", 5.5, 0.5),
        ("daily from 2:00 AM to 6:00 AM UTC", 6, 0),
        ("daily from 2:00 AM to 6:00 AM UTC", 1.9, 0),
        ("saturday from 22:00 to 4:00 UTC", 23, 5),
        ("saturday from 22:00 to 4:00 UTC", 27, 1),
        ("saturday from 22:00 to 4:00 UTC", 3, 0),  # of Friday's night
        ("saturday and sunday from 22:00 to 4:00 UTC", 47, 5),
        ("monday, tuesday from 2:00 to 4:00 UTC", 3, 0),
        ("daily from 2:00 AM to 6:00 AM Europe/Berlin", 2, 3),
    ],
)
def test_a_window_is_open_for_so_long(words, hours, left):
    assert window(words).left(SATURDAY + timedelta(hours=hours)) == timedelta(hours=left)
    assert window(words).model_dump(mode="json") == words


@pytest.mark.parametrize(
    "words",
    ["", 7, "daily", "sometimes from 2:00 to 3:00 UTC", "daily from 2:00 to 3:00",
     "daily from 25:00 to 3:00 UTC",
     "daily from 2:00 to 3:00 Mars/Base", "daily from 13:00 PM to 3:00 PM UTC"],
)  # fmt: skip
def test_what_is_no_window_is_refused_with_what_is_allowed(words):
    with pytest.raises(ValidationError, match=r"from 2:00 AM to 6:00 AM UTC|AM or PM"):
        window(words)


def test_a_blackout_holds_from_its_first_day_to_its_last():
    [closing] = TypeAdapter(tuple[Blackout, ...]).validate_python(
        [{"since": "2026-12-18", "until": "2027-01-03", "reason": "year-end closing"}]
    )
    held = {day: bool(blacked_out([closing], day)) for day in (date(2026, 12, 17), date(2026, 12, 18))}
    assert held == {date(2026, 12, 17): False, date(2026, 12, 18): True}
    assert blacked_out([closing], date(2027, 1, 3)) == "until 2027-01-03: year-end closing"
    assert not blacked_out([closing], date(2027, 1, 4))
    with pytest.raises(ValidationError, match="ends before it begins"):
        Blackout(since="2027-01-03", until="2026-12-18", reason="x")


def test_a_drill_that_is_due_does_not_speak_against_itself(plan):
    ready = judge_readiness(plan, well(plan, drills=[]))
    assert ready.standing == "AT RISK"
    assert risks(ready) == ()
    assert "Nothing speaks against it" in question(plan, ready)


def test_a_commander_reads_what_speaks_against_it(plan):
    ready = judge_readiness(plan, well(plan, routes={"slack": Transient("no answer in time")}))
    assert [each.name for each in risks(ready)] == ["slack"]
    assert "no answer in time" in question(plan, ready)


def test_a_name_that_is_no_commanders_and_a_risk_that_nobody_explains_are_refused(plan):
    commander = plan.declaration.commanders[0]
    well_ready = judge_readiness(plan, well(plan))
    at_risk = judge_readiness(plan, well(plan, routes={"slack": Transient("no answer in time")}))
    assert ask_permission(plan, well_ready, commander, "").risk == ""
    with pytest.raises(Refused, match="mallory"):
        ask_permission(plan, well_ready, "mallory", "")
    with pytest.raises(Refused, match="nobody said why"):
        ask_permission(plan, at_risk, commander, "  ")
    told = ask_permission(plan, at_risk, commander, "slack is being moved").risk
    assert told == "slack is being moved (slack: no answer in time)"
