"""`dr report`: the evidence of incidents."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from deployments.environment import active_plan
from tasks.clients import journal
from tasks.evidence import latest_incident, read_report
from tasks.policy.words import report_markdown

report = typer.Typer(help="The evidence of incidents.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="as JSON")]


@report.command()
def latest(as_json: Json = False) -> None:
    """Show the newest incident's report."""
    plan = active_plan()
    _show(latest_incident(plan), as_json)


@report.command()
def show(incident: str, as_json: Json = False) -> None:
    """Show one incident's report."""
    _show(incident, as_json)


@report.command("list")
def list_incidents() -> None:
    """List the incidents that have a report, oldest first."""
    for incident in journal.incidents(active_plan(), having="report.json"):
        print(incident)


def _show(incident: str, as_json: bool) -> None:
    found = read_report(active_plan(), incident)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        Console().print(Markdown(report_markdown(found)))
