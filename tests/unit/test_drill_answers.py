"""An answer counts as what was said, and only where it came in time."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.drill_answers import _act
from tasks.facts.drill import Answer, Question

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
ASKED = Question(drill="dr-drill-1", key="call-tree", text="Are you there?", people=("ada",), asked=NOON)


def given(word, minutes):
    at = NOON + timedelta(minutes=minutes)
    return Answer(drill="dr-drill-1", key="call-tree", person="ada", answer=word, comment="", at=at)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (given("yes", 5), "passed"),
        (given("no", 5), "failed"),
        (given("yes", 31), "failed"),
        (None, "unknown"),
    ],
)
def test_a_late_yes_is_no_yes(answer, outcome):
    act = _act(ASKED, "ada", answer, NOON + timedelta(minutes=30))
    assert act.outcome == outcome
    assert ("too late" in act.detail) == (answer is not None and answer.at > NOON + timedelta(minutes=30))
