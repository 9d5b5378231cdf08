"""`dr deploy`, `dr run`, `dr trigger`: the flows, with and without a Prefect server."""

from typing import Annotated
from uuid import uuid4

import typer

from deployments.environment import active_plan, api
from deployments.trigger import trigger, wait_for
from tasks.errors import Permanent

Parameters = Annotated[list[str] | None, typer.Option("--param", help="name=value; JSON where it parses")]
Flow = Annotated[str, typer.Argument(help="such as fail-over")]


def add_recovery_commands(app: typer.Typer) -> None:
    """Give these commands to the `dr` command."""
    for command in (deploy, run, start):
        app.command("trigger" if command is start else None)(command)


def deploy() -> None:
    """Register every flow as a deployment, with the plan's schedules."""
    plan = active_plan()
    from deployments.register import DEPLOYMENTS, register  # noqa: PLC0415 -- Prefect takes a second to import

    register(plan)
    print(f"{len(DEPLOYMENTS)} deployments registered")


def run(flow: Flow, param: Parameters = None) -> None:
    """Run a flow in this process with no Prefect server (break-glass)."""
    active_plan()
    from deployments.run import entrypoint_of, parse_parameters  # noqa: PLC0415 -- as above
    from deployments.run import run as run_flow  # noqa: PLC0415

    result = run_flow(entrypoint_of(flow), parse_parameters(param or []))
    print(result if isinstance(result, str) else getattr(result, "verdict", "done"))


def start(
    flow: Flow,
    param: Parameters = None,
    key: Annotated[str | None, typer.Option(help="the same key never starts a second run")] = None,
    wait: Annotated[float, typer.Option(help="seconds to wait for its end; 0: do not")] = 0,
) -> None:
    """Start a deployment through the Prefect API."""
    from deployments.run import parse_parameters  # noqa: PLC0415 -- as above

    prefect = api()
    name = flow.replace("_", "-")
    run_id = trigger(prefect, name, parse_parameters(param or []), key or str(uuid4()))
    print(run_id)
    if wait:
        state = wait_for(prefect, run_id, wait)
        print(state["name"])
        if state["type"] != "COMPLETED":
            raise Permanent(f"{name} ended {state['name']}", state.get("message") or "")
