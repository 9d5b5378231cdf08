"""What Prefect retries: only failures that may pass by themselves."""

from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import MissingResult

from tasks.errors import Transient


def is_transient(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`: retry what raised `Transient`, and nothing else."""
    try:
        error = state.result(raise_on_failure=False)
    except MissingResult:
        return False
    return isinstance(error, Transient)
