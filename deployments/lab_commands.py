"""`dr lab`: the embedded lab."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.edge.inbox import messages
from infra.lab import lab as embedded
from infra.lab.faults import wipe_databases, wipe_store
from infra.lab.home import DEFAULT_PLAN, Home, default_directory
from infra.lab.monitoring import start_monitoring
from infra.lab.network.topology import Weather
from infra.lab.traffic import start_load, stop_load
from tasks.errors import Refused

lab = typer.Typer(
    help="The embedded lab: real servers for every site, on this machine.", no_args_is_help=True
)

_console = Console(highlight=False)
Directory = Annotated[Path | None, typer.Option("--dir", help="the lab's home (else DR_LAB)")]
Site = Annotated[str, typer.Argument(help="a site of the plan")]


@lab.command()
def up(
    directory: Directory = None,
    plan: Annotated[Path, typer.Option(help="the plan to run")] = DEFAULT_PLAN,
    network: Annotated[str, typer.Option(help="loopback or namespaces")] = "loopback",
) -> None:
    """Start the lab, or repair what is missing of it."""
    if network not in {"loopback", "namespaces"}:
        raise Refused("unknown network", network, "allowed: loopback, namespaces")
    with _console.status("starting") as status:
        ready = embedded.up(_home(directory), plan, network, status.update)
    _console.print(f"the lab is up: {len(ready.sites)} sites, users arrive at {ready.service.endpoint.url}")


@lab.command()
def down(directory: Directory = None) -> None:
    """End every process of the lab and remove everything it left."""
    embedded.down(_home(directory))
    _console.print("the lab is gone")


@lab.command()
def status(directory: Directory = None) -> None:
    """Show each site's servers as they are now; exit 1 where one is dead."""
    told = embedded.status(_home(directory))
    table = Table("site", "running", "dead")
    for site, servers in told.items():
        dead = [name for name, state in servers.items() if state == "dead"]
        table.add_row(site, str(len(servers) - len(dead)), ", ".join(dead))
    _console.print(table)
    if any(state == "dead" for servers in told.values() for state in servers.values()):
        raise typer.Exit(1)


@lab.command("break")
def break_site(site: Site, directory: Directory = None) -> None:
    """Kill a whole site with SIGKILL."""
    killed = embedded.break_site(_home(directory), site)
    _console.print(f"{site} is dead: {killed} processes killed")


@lab.command()
def cut(site: Site, directory: Directory = None) -> None:
    """Isolate a site from the other sites while it keeps running."""
    embedded.cut(_home(directory), site)
    _console.print(f"{site} is cut off from the other sites")


@lab.command()
def worsen(
    site: Site,
    directory: Directory = None,
    delay: Annotated[float, typer.Option(min=0, help="added one-way latency in milliseconds")] = 0,
    loss: Annotated[float, typer.Option(min=0, max=100, help="packets lost, in percent")] = 0,
) -> None:
    """Make a site's lines to everything else slow, or lossy."""
    embedded.worsen(_home(directory), site, Weather(delay, loss / 100))
    _console.print(f"packets of {site} take {delay:g} ms longer, and {loss:g}% of them get lost")


@lab.command()
def wipe(
    site: Site,
    directory: Directory = None,
    what: Annotated[str, typer.Option(help="databases or store")] = "databases",
) -> None:
    """Destroy the databases, or the object store, of a site that goes on running."""
    acts = {"databases": wipe_databases, "store": wipe_store}
    if what not in acts:
        raise Refused("unknown fault", what, f"allowed: {', '.join(acts)}")
    killed = acts[what](_home(directory), site)
    _console.print(f"the {what} of {site} is gone: {killed} processes killed")


@lab.command()
def heal(site: Site, directory: Directory = None) -> None:
    """Bring a broken or cut site back, and mend its lines."""
    with _console.status(f"healing {site}") as shown:
        embedded.heal(_home(directory), site, shown.update)
    _console.print(f"{site} is back")


@lab.command()
def load(
    directory: Directory = None,
    rate: Annotated[float, typer.Option(min=0.1, help="orders a second")] = 50,
    stop: Annotated[bool, typer.Option("--stop", help="end it")] = False,
) -> None:
    """Send orders through the public endpoint, with a ledger of every acknowledged one."""
    home = _home(directory)
    if stop:
        stop_load(home)
    else:
        start_load(home, home.plan(), rate)
    _console.print("the load has ended" if stop else f"{rate:g} orders a second; the ledger is {home.ledger}")


@lab.command()
def monitoring(directory: Directory = None) -> None:
    """Start Prometheus and Alertmanager as the plan renders them; what they tell ends in the inbox."""
    _console.print(f"Prometheus answers at {start_monitoring(_home(directory))}")


@lab.command()
def inbox(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, one message a line, whole")] = False,
) -> None:
    """Show what was told through PagerDuty, Slack, mail and the public channels, which all end in the lab."""
    home = _home(directory)
    home.plan()
    told = list(messages(home.inbox))
    if as_json:
        for message in told:
            print(json.dumps(message, ensure_ascii=False))
        return
    table = Table("at", "channel", "what", "subject")
    for message in told:
        what = message.get("action") or message.get("status") or "message"
        table.add_row(message["at"], message["channel"], what, message["subject"])
    _console.print(table)


def _home(directory: Path | None) -> Home:
    return Home((directory or default_directory()).resolve())
