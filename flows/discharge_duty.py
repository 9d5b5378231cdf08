"""Discharge a duty that a disaster brought. Source: the seed's "Crisis Communication"."""

from datetime import UTC, datetime
from typing import Literal

from prefect import flow

from tasks.current import current_plan
from tasks.facts.crisis import Discharge
from tasks.inform import discharge


@flow(persist_result=False)
def discharge_duty(  # noqa: PLR0913 -- what there is to be said of a duty
    incident: str,
    duty: str,
    by: str,
    word: Literal["done", "refused"] = "done",
    words: str = "",
    reference: str = "",
) -> str:
    """Say that you have done what you owe, or that it is not to be done; it cannot be taken back.

    Args:
        incident: the incident.
        duty: its key, as in the artifact `duties-INCIDENT`.
        by: you, by the name that the plan has for you.
        word: done, or refused: words that are refused are not said.
        words: of an update and of the review, what is said outside, as you write it.
        reference: what proves it, such as the number that a regulator gave.
    """
    said = Discharge(duty=duty, by=by, at=datetime.now(UTC), word=word, words=words, reference=reference)
    return discharge(current_plan(), incident, said)
