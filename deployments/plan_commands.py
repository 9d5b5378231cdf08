"""`dr plan`: check a plan before anything is touched, and show what it means."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tasks.errors import Refused
from tasks.plan.load import load_fragment, load_plan
from tasks.plan.mistakes import PlanRefused
from tasks.plan.plan import Plan
from tasks.policy.business import impact_page

app = typer.Typer(name="plan", help="Check and show the plan.", no_args_is_help=True)

REFUSED = 2
TIMES_SHOWN = 3


def plan_path() -> Path:
    """The plan in force: the one that DR_PLAN names, else the one beside this package."""
    return Path(os.environ.get("DR_PLAN") or Path(__file__).with_name("plan.yaml"))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The plan to check.")],
    *,
    fragment: Annotated[bool, typer.Option("--fragment", help="FILE holds only some of the blocks.")] = False,
) -> None:
    """Print every mistake of a plan at once, as `path: what is wrong; what is allowed`; exit 2 if any."""
    try:
        blocks = load_fragment(file) if fragment else tuple(type(load_plan(file)).model_fields)
    except Refused as refused:
        raise _told(refused) from None
    typer.echo(f"{file.name} is good: {', '.join(blocks)}")


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(help="The plan; default: $DR_PLAN, or the shipped one.")
    ] = None,
) -> None:
    """Print the effective plan, and every schedule as cron with its next three times."""
    plan = _loaded(file)
    typer.echo(_effective(plan))
    Console().print(_schedules(plan, datetime.now(UTC)))


@app.command()
def impact(
    page: Annotated[Path, typer.Argument(help="The file to write, such as impact.html.")],
    file: Annotated[Path | None, typer.Option("--plan", help="The plan; default: $DR_PLAN.")] = None,
) -> None:
    """Draw the business impact analysis: processes, the services that carry them, and what those stand on."""
    if page.suffix != ".html":
        # Every other `dr plan` command takes the plan itself there: it would be written over.
        raise Refused(f"{page} is no page's name", hint="end it with .html; another plan is --plan FILE")
    plan = _loaded(file)
    page.write_text(impact_page(plan))
    typer.echo(f"{len(plan.business_impact)} processes in {page}")


def _loaded(file: Path | None) -> Plan:
    try:
        return load_plan(file or plan_path())
    except Refused as refused:
        raise _told(refused) from None


def _told(refused: Refused) -> typer.Exit:
    lines = map(str, refused.mistakes) if isinstance(refused, PlanRefused) else [str(refused)]
    typer.echo("\n".join(lines))
    return typer.Exit(REFUSED)


def _effective(plan: Plan) -> str:
    words = plan.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(words, sort_keys=False, allow_unicode=True)


def _schedules(plan: Plan, now: datetime) -> Table:
    table = Table("schedule", title="schedules", title_justify="left", box=SIMPLE)
    for heading in ("cron", "next"):
        table.add_column(heading, no_wrap=True)
    for name, schedule in ((named.name, named.schedule) for named in plan.schedules()):
        times = schedule.next_times(now, TIMES_SHOWN)
        cron = f"{schedule.cron}\n{schedule.timezone}" if schedule.cron else f"on {schedule.event}"
        table.add_row(
            f"{name}\n{schedule.words}", cron, "\n".join(f"{time:%Y-%m-%d %H:%M %Z}" for time in times)
        )
    return table
