"""What is said and asked in the annual exercise."""

from pathlib import Path

import pytest

from tasks.facts.drill import Question
from tasks.plan.load import load_plan
from tasks.policy.drill_words import question_markdown
from tasks.policy.exercise import announcement, inject_questions, process_questions, stakeholders

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
SALES, SUPPORT, ADA = "sales@naas.ai", "support@naas.ai", "ada-lindqvist"


@pytest.fixture(scope="module")
def plan():
    return load_plan(PLAN)


def test_everybody_who_owns_a_process_or_commands_has_a_part_but_who_is_absent(plan):
    assert stakeholders(plan, "") == (SALES, SUPPORT, *plan.declaration.commanders)
    assert stakeholders(plan, SALES) == (SUPPORT, *plan.declaration.commanders)


def test_each_process_is_asked_for_with_its_work_around_and_a_commander_answers_for_who_is_absent(plan):
    asked = {key: (text, who) for key, text, who in process_questions(plan, "")}
    text, who = asked["process-take-orders"]
    assert who == (SALES,)
    assert "orders by telephone, on paper, entered afterwards" in text
    assert "2 hours" in text
    absent = {key: who for key, _, who in process_questions(plan, SALES)}
    assert absent == {"process-take-orders": (ADA,), "process-answer-customers": (SUPPORT,)}


def test_the_commanders_who_are_there_are_asked_about_each_inject(plan):
    found = list(inject_questions(plan, stakeholders(plan, ADA)))
    assert len(found) == len(plan.drills.exercise.injects) > 0
    assert all(set(who) == set(plan.declaration.commanders) - {ADA} for _, _, who in found)


def test_nobody_takes_a_message_for_a_real_one(plan):
    drill = type("Drill", (), {"id": "dr-drill-x", "reason": "the year's"})
    opened, ended = (announcement(plan, drill, stage) for stage in ("opened", "recovered"))
    for message in (opened, ended):
        assert message.subject.startswith("EXERCISE EXERCISE EXERCISE")
        assert message.text.startswith("EXERCISE")
        assert message.text.endswith("EXERCISE")
        assert message.severity == "info"
    assert opened.dedup_key == ended.dedup_key == "dr-drill-x"


def test_a_question_says_how_it_is_answered(plan):
    asked = {"drill": "dr-drill-x", "key": "sign-off", "asked": "2026-11-26T12:00:00Z"}
    told = question_markdown(Question(text="Well?", people=(ADA,), **asked))
    for words in ("dr-drill-x", "sign-off", "Well?", ADA, "answer-drill"):
        assert words in told
