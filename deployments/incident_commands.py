"""`dr declare`, `dr incident`: say that a site is lost, and look after what became of it."""

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Column, Table

from deployments.environment import active_plan
from deployments.starting import start_here, start_there
from tasks.crisis_record import read_crisis
from tasks.evidence import read_steps
from tasks.incidents import OnRecord, all_on_record, flow_to_resume, on_record, require_override
from tasks.policy.crisis_page import duties_table, tellings_table
from tasks.policy.response_words import decision_words, impact_page
from tasks.policy.words import report_markdown, steps_markdown

incident = typer.Typer(help="Incidents: what is open, what became of it.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="as `dr incident list` shows it")]
Here = Annotated[bool, typer.Option("--here", help="in this process, with no Prefect server (break-glass)")]
Wait = Annotated[float, typer.Option(help="seconds to wait for its end; 0: do not")]
_console = Console(highlight=False)


def declare(
    reason: Annotated[str, typer.Option(help="why; it stands in the report")],
    commander: Annotated[
        list[str] | None, typer.Option(help="a commander of the plan who declares it")
    ] = None,
    key: Annotated[str | None, typer.Option(help="the same key never starts a second run")] = None,
    here: Here = False,
    wait: Wait = 0,
) -> None:
    """Declare that the active site is lost; without enough commanders the run asks for them in the UI."""
    parameters: dict[str, object] = {
        "reason": reason,
        "source": "manual_trigger",
        "approved_by": commander or [],
        "evidence": f"`dr declare` by {getpass.getuser()}",
    }
    _start("respond", parameters, key, here, wait)


@incident.command("list")
def list_incidents() -> None:
    """List the incidents on record, oldest first."""
    table = Table(Column("incident", no_wrap=True), "kind", "from", "to", "state")
    for record in all_on_record(active_plan()):
        table.add_row(record.id, *_row(record))
    _console.print(table)


@incident.command()
def show(name: Id) -> None:
    """Show all that is on record: the assessment, the decision, the steps, the report."""
    plan = active_plan()
    record = on_record(plan, name)
    _console.print(f"{name}: {record.state}")
    if record.impact:
        service = plan.service
        page = impact_page(record.impact, service.name, service.tier, plan.declaration, record.decision)
        _console.print(Markdown(page))
    elif record.decision:
        _console.print(decision_words(record.decision))
    if record.report:
        _console.print(Markdown(report_markdown(record.report)))
    elif record.case:
        _console.print(Markdown(steps_markdown(read_steps(plan, record.case))))


@incident.command()
def duties(name: Id) -> None:
    """Show what people owe in a disaster, and what was said outside."""
    plan = active_plan()
    crisis = read_crisis(plan, name)
    _console.print(Markdown(duties_table(plan, crisis, datetime.now(UTC))))
    _console.print(Markdown(tellings_table(crisis)))


@incident.command("discharge")
def discharge_duty(  # noqa: PLR0913 -- what there is to be said of a duty
    name: Id,
    duty: Annotated[str, typer.Argument(help="as `dr incident duties` shows it; `update` to say what is so")],
    by: Annotated[str, typer.Option(help="you, by the plan's name for you")],
    words: Annotated[str, typer.Option(help="an update's words, or what the review found")] = "",
    reference: Annotated[str, typer.Option(help="what proves it, such as a regulator's number")] = "",
    refuse: Annotated[bool, typer.Option("--refuse", help="it is not to be done")] = False,
    here: Here = False,
    wait: Wait = 60,
) -> None:
    """Say that you have done what you owe, or that it is not to be done; it cannot be taken back."""
    said = {"incident": name, "duty": duty, "by": by, "words": words, "reference": reference}
    _start("discharge_duty", said | {"word": "refused" if refuse else "done"}, None, here, wait)


@incident.command()
def resume(
    name: Id,
    override_fence: Annotated[
        str,
        typer.Option(help="a commander's statement, naming commander and site, where the fence has no proof"),
    ] = "",
    here: Here = False,
    wait: Wait = 0,
) -> None:
    """Go on with an incident whose run died or failed; finished steps are verified, not repeated."""
    plan = active_plan()
    record = on_record(plan, name)
    flow, parameters = flow_to_resume(record), {"incident": name}
    if override_fence:
        require_override(record, flow, plan.declaration.commanders, override_fence)
        parameters["override_fence"] = override_fence
    _start(flow, parameters, None, here, wait)


@incident.command()
def abort(
    name: Id,
    reason: Annotated[str, typer.Option(help="why; it stands on record")],
    here: Here = False,
    wait: Wait = 60,
) -> None:
    """Give up an incident that has not moved the service yet, and undo what it did."""
    on_record(active_plan(), name)
    _start("abort_incident", {"incident": name, "reason": reason}, None, here, wait)


def _row(record: OnRecord) -> tuple[str, str, str, str]:
    if record.case:
        return record.case.kind, record.case.failed_site, record.case.to_site, record.state
    return "alarm", record.alarm.site if record.alarm else "", "", record.state


def _start(flow: str, parameters: Mapping[str, object], key: str | None, here: bool, wait: float) -> None:
    if here:
        start_here(flow, parameters)
    else:
        start_there(flow, parameters, key, wait)
