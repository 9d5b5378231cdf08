"""Answer a question of a drill. Source: the seed's "DR Testing Schedule", all business units."""

from datetime import UTC, datetime
from typing import Literal

from prefect import flow

from tasks.current import current_plan
from tasks.drill_answers import answer
from tasks.facts.drill import Answer


@flow(persist_result=False)
def answer_drill(
    drill: str, question: str, person: str, word: Literal["yes", "no"], comment: str = ""
) -> str:
    """Say yes or no to what a drill asks you; it stands in the report, and cannot be taken back.

    Args:
        drill: the drill's id, as in the artifacts of its run.
        question: the question's key, as there.
        person: you, by the name that the question asks.
        word: yes or no.
        comment: why, or what you would do.
    """
    given = Answer(
        drill=drill, key=question, person=person, answer=word, comment=comment, at=datetime.now(UTC)
    )
    return answer(current_plan(), given)
