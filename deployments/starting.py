"""Starting a flow for a person at the terminal: through the Prefect API, or in this very process."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from deployments.environment import active_plan, api
from deployments.trigger import trigger, wait_for
from tasks.errors import Permanent, Refused


def start_here(flow: str, parameters: Mapping[str, Any]) -> None:
    """Run a flow in this process with no Prefect server (break-glass), and print how it ended."""
    active_plan()
    from deployments.run import entrypoint_of, run  # noqa: PLC0415 -- Prefect takes a second to import

    result = run(entrypoint_of(flow), parameters)
    print(result if isinstance(result, str) else getattr(result, "verdict", "done"))


def start_there(flow: str, parameters: Mapping[str, Any], key: str | None, wait: float) -> None:
    """Start a deployment through the Prefect API; print its run's id and, where asked to wait, its end.

    Args:
        flow: the flow's name, with hyphens or underscores.
        parameters: its parameters.
        key: the same key never starts a second run.
        wait: seconds to wait for its end; 0 for not at all.

    Raises:
        Refused: the server knows no such deployment, or it takes other parameters; nothing was started.
        Permanent: it did not complete.
        Transient: the server does not answer, or the run has not ended in time.
    """
    prefect, name = api(), flow.replace("_", "-")
    try:
        run_id = trigger(prefect, name, parameters, key or str(uuid4()))
    except Permanent as error:
        raise Refused(f"{name} is not started: {error.message}", error.detail, error.hint) from error
    print(run_id)
    if wait:
        state = wait_for(prefect, run_id, wait)
        print(state["name"])
        if state["type"] != "COMPLETED":
            raise Permanent(f"{name} ended {state['name']}", state.get("message") or "")
