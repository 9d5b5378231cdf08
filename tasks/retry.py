"""What Prefect retries: only failures that may pass by themselves."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingResult

from tasks.errors import Transient

P = ParamSpec("P")
R = TypeVar("R")


def retried(
    name: str,
    *,
    run_name: str | None = None,
    times: int = 3,
    delay: float | list[float] | Callable[[int], list[float]] = 5,
    jitter: float | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that is tried again while it raises `Transient`, and of which nothing is cached.

    Args:
        name: what Prefect calls it.
        run_name: what Prefect calls one run of it, with its parameters in braces.
        times: how often it is tried again.
        delay: seconds before each further try, one for all, one for each, or a policy of Prefect's.
        jitter: by what part of itself a delay may be longer.
    """
    return task(
        name=name,
        task_run_name=run_name,
        retries=times,
        retry_delay_seconds=delay,
        retry_jitter_factor=jitter,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
    )


def is_transient(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`: retry what raised `Transient`, and nothing else."""
    try:
        error = state.result(raise_on_failure=False)
    except MissingResult:
        return False
    return isinstance(error, Transient)
