"""`dr deploy`, `dr run`, `dr trigger`: the flows, with and without a Prefect server."""

from typing import Annotated, Any

import typer

from deployments.environment import active_plan
from deployments.starting import start_here, start_there

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
    start_here(flow, _parsed(param))


def start(
    flow: Flow,
    param: Parameters = None,
    key: Annotated[str | None, typer.Option(help="the same key never starts a second run")] = None,
    wait: Annotated[float, typer.Option(help="seconds to wait for its end; 0: do not")] = 0,
) -> None:
    """Start a deployment through the Prefect API."""
    start_there(flow, _parsed(param), key, wait)


def _parsed(param: list[str] | None) -> dict[str, Any]:
    from deployments.run import parse_parameters  # noqa: PLC0415 -- as above

    return parse_parameters(param or [])
