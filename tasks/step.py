"""A step: one Prefect task of an incident that observes, acts and verifies, and leaves a record.

The record lies in the surviving sites' stores under the incident's id. A run that starts again with the
same id does every step again; since a step observes before it acts, what is done is verified and not
repeated, and the record keeps the first start.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from pydantic import BaseModel

from tasks.clients import journal
from tasks.errors import DrError
from tasks.facts.recovery import Incident, StepRecord
from tasks.plan.plan import Plan
from tasks.retry import is_transient

P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)
Step = Callable[Concatenate[Plan, Incident, P], R]

_RETRIES = 8
_DELAYS_S = [0.2, 0.5, 1, 2, 4, 8, 8, 8]


def step(title: str) -> Callable[[Step[P, R]], Step[P, R]]:
    """Make a function of (plan, incident, ...) a step.

    Args:
        title: what it does, in the runbook's words.
    """

    def decorate(function: Step[P, R]) -> Step[P, R]:
        @functools.wraps(function)
        def recorded(plan: Plan, incident: Incident, *args: P.args, **kwargs: P.kwargs) -> R:
            attempted = StepRecord(
                name=title, started=datetime.now(UTC), attempts=task_run.get_run_count() or 1, outcome="done"
            )
            try:
                result = function(plan, incident, *args, **kwargs)
            except DrError as error:
                _write(
                    plan, incident, attempted.model_copy(update={"outcome": "failed", "detail": str(error)})
                )
                raise
            found = result.model_dump(mode="json")
            _write(plan, incident, attempted.model_copy(update={"detail": str(result), "result": found}))
            return result

        return _as_task(title, recorded)

    return decorate


def _write(plan: Plan, incident: Incident, record: StepRecord) -> None:
    name = f"steps/{record.started:%Y%m%dT%H%M%S.%f}-{record.name.replace(' ', '-')}.json"
    journal.write(plan, incident.failed_site, incident.id, name, record.ended_now().model_dump_json())


def _as_task(title: str, function: Any) -> Any:
    return task(
        name=title,
        retries=_RETRIES,
        retry_delay_seconds=_DELAYS_S,
        retry_jitter_factor=0.2,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)
