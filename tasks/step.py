"""A step: one Prefect task of an incident that observes, acts and verifies, and leaves a record.

The record lies in the surviving sites' stores under the incident's id. A run that starts again with the
same id does every step again; since a step observes before it acts, what is done is verified and not
repeated, and what it found the first time stands.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from pydantic import BaseModel

from tasks.clients import journal
from tasks.clients.telemetry.labels import serving
from tasks.clients.telemetry.lines import told
from tasks.course import under_way
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.incident import Incident, StepRecord
from tasks.plan.plan import Plan
from tasks.retry import is_transient

P = ParamSpec("P")
R = TypeVar("R", bound=BaseModel)
Step = Callable[Concatenate[Plan, Incident, P], R]
Recorded = Task[Concatenate[Plan, Incident, P], R]

_audit = logging.getLogger("dr.audit")
_DELAYS_S: list[float] = [0.2, 0.5, 1, 2, 4, 8, 8, 8]


def step(
    title: str, deadline_s: float = 60, *, first_stands: bool = True
) -> Callable[[Step[P, R]], Recorded[P, R]]:
    """Make a function of (plan, incident, ...) a step.

    Args:
        title: what it does, in the runbook's words; parameters of the function in braces are filled in.
        deadline_s: seconds from its first attempt's start, after which a passing failure is final.
        first_stands: whether a run that resumes takes what was found the first time for what it finds now.
    """

    def decorate(function: Step[P, R]) -> Recorded[P, R]:
        began: dict[tuple[str, str], float] = {}
        parameters = inspect.signature(function)

        @functools.wraps(function)
        def recorded(plan: Plan, incident: Incident, *args: P.args, **kwargs: P.kwargs) -> R:
            name = title.format_map(parameters.bind(plan, incident, *args, **kwargs).arguments)
            attempted = StepRecord(
                name=name, started=datetime.now(UTC), attempts=task_run.get_run_count() or 1, outcome="done"
            )
            if attempted.attempts == 1:  # a run that resumes has all of its time again
                began.pop((incident.id, name), None)
            since = began.setdefault((incident.id, name), time.monotonic())
            try:
                with serving(incident=incident.id, step=name), under_way(name):
                    result = function(plan, incident, *args, **kwargs)
            except DrError as error:
                failed = attempted.model_copy(update={"outcome": "failed", "detail": str(error)})
                _write(plan, incident, failed)
                if isinstance(error, Transient) and time.monotonic() - since > deadline_s:
                    raise Permanent(f"{name}: not done within {deadline_s:g} s", str(error)) from error
                raise
            if first_stands and incident.resumed and (first := first_result(plan, incident, name)):
                result = type(result).model_validate(first)
            found = result.model_dump(mode="json")
            _write(plan, incident, attempted.model_copy(update={"result": found}))
            return result

        return task(
            name=title,
            task_run_name=title if "{" in title else None,
            retries=len(_DELAYS_S),
            retry_delay_seconds=_DELAYS_S,
            retry_jitter_factor=0.2,
            retry_condition_fn=is_transient,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(recorded)

    return decorate


def _write(plan: Plan, incident: Incident, record: StepRecord) -> None:
    outcome = "success" if record.outcome == "done" else "failure"
    with serving(incident=incident.id, step=record.name, outcome=record.outcome):
        _audit.info("%s: %s %s", record.name, record.outcome, record.detail, extra=told(record.name, outcome))
    name = f"steps/{record.started:%Y%m%dT%H%M%S.%f}-{record.name.replace(' ', '-')}.json"
    journal.write(plan, incident.failed_site, incident.id, name, record.ended_now().model_dump_json())


def first_result(plan: Plan, incident: Incident, title: str) -> dict[str, Any] | None:
    """What an earlier run's step found, when it first succeeded."""
    texts = journal.read_all(plan, incident.id, "steps/")
    records = (StepRecord.model_validate_json(text) for text in texts)
    return next((record.result for record in records if record.name == title and record.result), None)
