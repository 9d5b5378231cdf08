"""The annual exercise in the lab: everybody answers, the service moves there and home, everybody signs."""

import json
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
import yaml
from validation_planting import validating

from infra.lab.home import write_whole
from tasks.clients import records
from tasks.clients.truth import active_site
from tasks.drill_answers import answer
from tasks.drill_evidence import read_drill_reports
from tasks.errors import DrError, Refused
from tasks.facts.drill import Answer, Question

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]
SALES, SUPPORT = "sales@naas.ai", "support@naas.ai"


@pytest.fixture(scope="module")
def lab(labs):
    lab = labs.fresh("loopback")
    document = yaml.safe_load(lab.home.plan_file.read_text())
    document["drills"]["exercise"] |= {"answer_within": "30 seconds", "notice_within": "2 minutes"}
    write_whole(lab.home.plan_file, yaml.safe_dump(document, sort_keys=False))
    lab.dr("lab", "load", "--rate", "10")
    with validating(lab):
        yield lab
    labs.end()


@contextmanager
def people(plan, says):
    """Whoever is asked answers at once what `says` gives for the question and the person, if anything."""
    over = threading.Event()

    def watch():
        asked = set()
        while not over.wait(0.5):
            with suppress(DrError):
                for drill in set(records.names(plan, "drills")) - done:
                    for text in records.read_all(plan, f"drills/{drill}", "questions/"):
                        question = Question.model_validate_json(text)
                        for person in question.people:
                            place = drill, question.key, person
                            word = says(question.key, person)
                            if place not in asked and word:
                                asked.add(place)
                                given = Answer(
                                    drill=drill, key=question.key, person=person, answer=word,
                                    comment="as rehearsed", at=datetime.now(UTC),
                                )  # fmt: skip
                                answer.fn(plan, given)

    done = set(records.names(plan, "drills"))
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def held(lab, *more):
    commander = lab.plan.declaration.commanders[0]
    allowed = "--param", f"approved_by={commander}", "--param", "risk=a fresh lab has no old backups"
    ended = lab.attempt("run", "drill-full-dr-exercise", *allowed, *more, timeout=600)
    return ended, read_drill_reports(lab.plan)[-1]


def test_everybody_answers_and_signs(lab):
    plan = lab.plan
    with people(plan, lambda _key, _person: "yes"):
        ended, report = held(lab)
    assert (ended.returncode, report.verdict) == (0, "passed"), [(t.name, t.wrong) for t in report.trials]
    assert [each.name for each in report.trials] == [
        "call tree", "to us-west-2", "business processes", "home to us-east-1", "injects",
        "notice to the authorities", "sign-off", "announcements",
    ]  # fmt: skip
    [signed] = [each for each in report.trials if each.name == "sign-off"]
    assert {act.name for act in signed.acts} >= {f"sign-off: {SALES}", f"sign-off: {SUPPORT}"}
    assert active_site(plan) == plan.site_of("primary")
    told = [json.loads(line) for line in lab.dr("lab", "inbox", "--json").splitlines()]
    ours = [json.dumps(each) for each in told if report.drill.id in json.dumps(each)]
    assert len(ours) >= 4
    assert all("EXERCISE" in each or "resolve" in each for each in ours)


def test_who_is_silent_and_who_refuses_are_findings_and_the_service_comes_home(lab):
    plan = lab.plan

    def says(key, person):
        if key == "sign-off" and person == SUPPORT:
            return "no"
        return None if key == "call-tree" and person == SALES else "yes"

    with people(plan, says):
        ended, report = held(lab)
    assert (ended.returncode, report.verdict) == (1, "failed")
    wrong = {each.trial: each.what for each in report.findings}
    assert set(wrong) == {"call tree", "sign-off"}
    assert wrong["call tree"] == f"call-tree: {SALES}: no answer"
    assert wrong["sign-off"] == f"sign-off: {SUPPORT}: no: as rehearsed"
    assert active_site(plan) == plan.site_of("primary")


def test_the_key_person_is_not_asked(lab):
    with people(lab.plan, lambda _key, _person: "yes"):
        ended, report = held(lab, "--param", f"absent={SALES}")
    assert ended.returncode == 0
    assert not [act for each in report.trials for act in each.acts if SALES in act.name]
    assert SALES in report.drill.excluded


def test_nobody_answers_for_another_and_the_first_word_stands(lab):
    plan, drill = lab.plan, read_drill_reports(lab.plan)[-1].drill.id
    given = {"drill": drill, "key": "sign-off", "answer": "yes", "comment": "", "at": datetime.now(UTC)}
    with pytest.raises(Refused, match="mallory is not asked"):
        answer.fn(plan, Answer(person="mallory", **given))
    with pytest.raises(Refused, match="has answered already"):
        answer.fn(plan, Answer(person=SUPPORT, **given))
    with pytest.raises(Refused, match="asks no tea"):
        answer.fn(plan, Answer(person=SUPPORT, **given | {"key": "tea"}))
