"""The newest evaluation of readiness, on record for whoever watches. No Prefect: `dr readiness` is quick."""

from contextlib import suppress

from pydantic import ValidationError

from tasks.clients import newest, records
from tasks.facts.readiness import Readiness
from tasks.plan.plan import Plan

_FOLDER, _NAME = "readiness", "readiness/latest.json"


def keep_readiness(plan: Plan, found: Readiness) -> None:
    """Put an evaluation in the place of the one before.

    Raises:
        Transient: no store takes it.
    """
    records.write(plan, _NAME, found.model_dump_json())


def last_readiness(plan: Plan) -> Readiness | None:
    """The newest one, from whichever stores answer; None where there is none.

    Raises:
        Transient: no store answers.
    """
    found = []
    for text in newest.versions(plan, _FOLDER).get(_NAME, ()):
        with suppress(ValidationError):
            found.append(Readiness.model_validate_json(text))
    return max(found, key=lambda each: each.at, default=None)
