"""The `dr` command."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.alert_commands import alert
from deployments.backup_commands import backups
from deployments.ending import told_by
from deployments.environment import active_plan
from deployments.flag_commands import flags
from deployments.hook_commands import hook
from deployments.incident_commands import declare, incident
from deployments.lab_commands import lab
from deployments.pagerduty_commands import pagerduty
from deployments.plan_commands import app as plan
from deployments.plan_commands import plan_path
from deployments.readiness_commands import readiness
from deployments.recovery_commands import add_recovery_commands
from deployments.report_commands import report
from deployments.watch_commands import watch
from infra.prepare import prepare as prepared
from infra.tree import write_all
from tasks.plan.load import load_plan

app = typer.Typer(
    help="Disaster recovery that a team can run, watch and prove.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(plan, name="plan")
app.add_typer(lab, name="lab")
app.add_typer(report, name="report")
app.add_typer(incident, name="incident")
app.add_typer(flags, name="flags")
app.add_typer(pagerduty, name="pagerduty")
app.add_typer(alert, name="alert")
app.command()(backups)
app.command()(declare)
add_recovery_commands(app)
app.command()(hook)
app.command()(watch)
app.command()(readiness)


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="where to write the files")],
    plan_file: Annotated[Path | None, typer.Option("--plan", help="the plan (else DR_PLAN)")] = None,
    secrets: Annotated[bool, typer.Option("--secrets", help="also the files that hold secrets")] = False,
) -> None:
    """Write every configuration file from the plan."""
    written = write_all(load_plan(plan_file or plan_path()), folder, secrets=secrets)
    print(f"{written} files in {folder}")


@app.command()
def prepare() -> None:
    """Make on servers that run what no flow makes: buckets, database, its role, pgBackRest's stanza."""
    for line in prepared(active_plan()):
        print(line, flush=True)


def main() -> None:
    """Run the command; an error becomes its own lines and an exit code: 2 refused, 1 failed."""
    with told_by("dr"):
        app()
