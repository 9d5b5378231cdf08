"""`dr report`: the evidence of incidents and drills."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Column, Table

from deployments.environment import active_plan
from tasks.clients import journal
from tasks.clients.drill_ground import PREFIX
from tasks.drill_evidence import drills, read_drill_report
from tasks.evidence import latest_incident, read_report, read_reports
from tasks.facts.drill import DrillReport
from tasks.facts.report import Report
from tasks.policy.drill_words import report_markdown as drill_markdown
from tasks.policy.sealed import link_words, silence_words
from tasks.policy.words import report_markdown
from tasks.sealed import Evidence, export_evidence, verify_evidence

report = typer.Typer(help="The evidence of incidents and drills.", no_args_is_help=True)
_ID = len("inc-20260101T000000Z-000000")
Json = Annotated[bool, typer.Option("--json", help="as JSON")]


@report.command()
def latest(as_json: Json = False) -> None:
    """Show the newest incident's report."""
    plan = active_plan()
    _show(latest_incident(plan), as_json)


@report.command()
def show(incident: str, as_json: Json = False) -> None:
    """Show one report, of an incident or of a drill."""
    _show(incident, as_json)


@report.command("list")
def list_reports() -> None:
    """List the incidents and the drills that have a report, oldest first."""
    plan = active_plan()
    for subject in (*journal.incidents(plan, having="report.json"), *drills(plan)):
        print(subject)


@report.command()
def verify() -> None:
    """Check the hash, signature, order and lock of every sealed report; exit 1 where one is not right."""
    found = verify_evidence(active_plan())
    Console().print(_links(found))
    for line in (*found.flaws, *silence_words(found.silent)):
        print(line)
    if found.flaws:
        raise typer.Exit(1)
    print(f"whole: {len(found.links)} sealed reports, each signed, chained and locked")


@report.command()
def history() -> None:
    """List every incident's report with its figures, oldest first."""
    plan = active_plan()
    table = Table(_incident_column(), "kind", "verdict", "outage", "lost", "to")
    for each in read_reports(plan):
        lost = "unknown" if each.rpo.lost_seconds is None else f"{each.rpo.lost_seconds:.1f} s"
        outage = f"{each.rto_seconds.total:.1f} s"
        table.add_row(each.incident, each.kind, each.verdict, outage, lost, each.to_site)
    Console().print(table)


@report.command()
def export(folder: Annotated[Path, typer.Argument(help="where to; made if it is not there")]) -> None:
    """Write every sealed report as a page and as JSON, with its seal, the public keys and an index."""
    written = export_evidence(active_plan(), folder)
    print(f"{written} reports in {folder / 'index.html'}")


@report.command()
def schema(
    drill: Annotated[bool, typer.Option("--drill", help="of a drill's report, not an incident's")] = False,
) -> None:
    """Print the JSON schema of reports."""
    kind = DrillReport if drill else Report
    print(json.dumps(kind.model_json_schema(), indent=2))


def _incident_column() -> Column:
    """An id is copied from here, so it is never cut."""
    return Column("incident", no_wrap=True, min_width=_ID)


def _links(found: Evidence) -> Table:
    table = Table("link", _incident_column(), "verdict", "sealed (UTC)", "kept until")
    for each in found.links:
        table.add_row(str(each.number), *link_words(each))
    return table


def _show(incident: str, as_json: bool) -> None:
    plan = active_plan()
    found = read_drill_report(plan, incident) if incident.startswith(PREFIX) else read_report(plan, incident)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        words = drill_markdown(found) if isinstance(found, DrillReport) else report_markdown(found)
        Console().print(Markdown(words))
