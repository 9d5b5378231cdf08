"""What people say in a drill: asked in the UI, answered there or by REST, each answer on record.

Source: the seed's "DR Testing Schedule", all business units; ISO 22301 8.5.
"""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.artifacts import create_markdown_artifact

from tasks.clients import records
from tasks.drill_abort import why_ended_if_known
from tasks.drill_evidence import FOLDER
from tasks.errors import DrError, Refused
from tasks.facts.drill import Act, Answer, Drill, Outcome, Question
from tasks.plan.plan import Plan
from tasks.policy.drill_words import question_markdown
from tasks.policy.tables import span
from tasks.progress import shown
from tasks.retry import retried

_LOOK_S = 1.0


@retried("ask people", run_name="ask: {key}", times=2, delay=2)
def ask(plan: Plan, drill: Drill, key: str, text: str, people: Sequence[str]) -> Question:
    """Put a question to people; it stands in an artifact of the run.

    Raises:
        Transient: no store takes it.
    """
    question = Question(drill=drill.id, key=key, text=text, people=tuple(people), asked=datetime.now(UTC))
    records.write(plan, _key(drill.id, key), question.model_dump_json())
    create_markdown_artifact(
        key=f"{drill.id}-{key}".lower(), markdown=question_markdown(question), description=text[:80]
    )
    return question


@retried("answer a question of a drill", times=2, delay=1)
def answer(plan: Plan, given: Answer) -> str:
    """Put an answer on record; the first one of a person stands.

    Raises:
        Refused: the question was not asked, or not this person, or was answered already.
        Transient: no store answers.
    """
    text = records.read(plan, _key(given.drill, given.key))
    if text is None:
        raise Refused(f"{given.drill} asks no {given.key}", hint="see the artifacts of the drill's run")
    people = Question.model_validate_json(text).people
    if given.person not in people:
        raise Refused(f"{given.person} is not asked", f"asked: {', '.join(people)}")
    if given.person in {each.person for each in _answers(plan, given.drill, given.key)}:
        raise Refused(f"{given.person} has answered already")
    # A name may hold what a store's key may not.
    name = f"answers/{given.key}/{hashlib.sha256(given.person.encode()).hexdigest()[:16]}.json"
    records.write(plan, f"{FOLDER}/{given.drill}/{name}", given.model_dump_json())
    return f"{given.person}: {given.answer}"


@retried("wait for answers", run_name="wait for answers: {question.key}", times=0)
def gather(plan: Plan, drill: Drill, question: Question, within: timedelta) -> tuple[Act, ...]:
    """Wait until everybody has answered, the time is over, or somebody ends the drill.

    Returns:
        an act for each who was asked: passed for yes in time, failed for no or too late, else unknown.
    """
    until = question.asked + within
    with shown(f"{question.key}: {len(question.people)} people") as told:
        while True:
            found = {each.person: each for each in _softly(plan, question)}
            told(len(found), len(question.people))
            if (
                len(found) == len(question.people)
                or datetime.now(UTC) > until
                or why_ended_if_known(plan, drill.id)
            ):
                break
            time.sleep(_LOOK_S)
    return tuple(_act(question, person, found.get(person), until) for person in question.people)


def _act(question: Question, person: str, given: Answer | None, until: datetime) -> Act:
    name = f"{question.key}: {person}"
    if given is None:
        now = datetime.now(UTC)
        return Act(name=name, started=question.asked, ended=now, outcome="unknown", detail="no answer")
    late = f", {span(given.at - until)} too late" if given.at > until else ""
    outcome: Outcome = "passed" if given.answer == "yes" and not late else "failed"
    told = f"{given.answer}: {given.comment}".rstrip(": ") + late
    return Act(name=name, started=question.asked, ended=given.at, outcome=outcome, detail=told)


def _softly(plan: Plan, question: Question) -> list[Answer]:
    """A store that does not answer for a moment is asked again."""
    try:
        return _answers(plan, question.drill, question.key)
    except DrError:
        return []


def _answers(plan: Plan, drill: str, key: str) -> list[Answer]:
    texts = records.read_all(plan, f"{FOLDER}/{drill}", f"answers/{key}/")
    return [Answer.model_validate_json(text) for text in texts]


def _key(drill: str, key: str) -> str:
    return f"{FOLDER}/{drill}/questions/{key}.json"
