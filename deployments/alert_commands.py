"""`dr alert`: what fires, and to take an alert on, which stops its escalation."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deployments.environment import active_plan
from tasks.clients.alerts import Alertmanager
from tasks.errors import Refused
from tasks.plan.values import in_words

alert = typer.Typer(help="Alerts: what fires, and who takes it on.", no_args_is_help=True)
_console = Console(highlight=False)


@alert.command("list")
def list_alerts() -> None:
    """List what fires, oldest first."""
    table = Table("since", "alert", "site", "severity", "taken on", "summary")
    for each in Alertmanager(active_plan()).firing():
        name, site, severity = (each.labels.get(it, "") for it in ("alertname", "site", "severity"))
        since = each.since.isoformat(timespec="seconds")
        table.add_row(since, name, site, severity, "yes" if each.taken_on else "", each.summary)
    _console.print(table)


@alert.command()
def ack(
    name: Annotated[str, typer.Argument(help="the alert, as `dr alert list` shows it")],
    by: Annotated[str, typer.Option(help="who takes it on")],
    site: Annotated[str | None, typer.Option(help="only where it is about this site")] = None,
    hours: Annotated[float, typer.Option(min=0.1, max=72, help="for how long nobody else is told")] = 4,
) -> None:
    """Take an alert on: nobody is told of it any more, through whatever channel, until the time is over."""
    alertmanager, lasting = Alertmanager(active_plan()), timedelta(hours=hours)
    where = {"site": site} if site else {}
    # What a channel did not take is an alert of its own, which names the one that it is about.
    wanted = [{"alertname": name, **where}, {"untold": name, **where}]
    firing = [each.labels for each in alertmanager.firing()]
    if not any(_matches(labels, each) for labels in firing for each in wanted):
        known = ", ".join(sorted({labels["alertname"] for labels in firing})) or "nothing"
        raise Refused(f"{name} does not fire{f' for {site}' if site else ''}", f"what fires: {known}")
    for each in wanted:
        alertmanager.silence(each, lasting, by, "taken on")
    print(f"{by} has taken on {name}: nobody else is told for {in_words(lasting)}")


def _matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()
