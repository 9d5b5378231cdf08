"""`dr backups`: every recoverable point of every asset at every site."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deployments.environment import active_plan
from tasks.errors import Refused, Transient
from tasks.facts.archive import Finding
from tasks.facts.catalogue import Catalogue, Row
from tasks.inventory import catalogue
from tasks.plan.plan import Plan
from tasks.policy.catalogue import LONG_TERM
from tasks.policy.tables import moment, span

_WIDE = 120
_COLOURS = {"ok": "green", "warning": "yellow", "critical": "red", "unknown": "red"}
Asset = Annotated[str | None, typer.Option(help="only this asset, or all of a kind such as files")]
Site = Annotated[str | None, typer.Option(help="only this site")]


def backups(
    asset: Asset = None,
    site: Site = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, each point included")] = False,
) -> None:
    """Show what can be restored, from where, to when; exit 1 where something is not healthy."""
    plan = active_plan()
    _require_known(plan, asset, site)
    found = catalogue(plan)
    rows = [row for row in found.rows if _wanted(row.asset, asset) and site in {None, row.site}]
    coverage = [] if asset or site else list(found.coverage)
    if not rows:
        _require_months_listed(plan, found)
    if as_json:
        print(json.dumps(_document(found, rows, coverage), default=_plain, indent=2))
    elif rows:
        _show(found, rows, coverage)
    else:
        print(f"no month is set apart at {site or plan.site_of('archive')}")
    if any(finding.red for finding in (*(row.finding for row in rows), *coverage)):
        raise typer.Exit(1)


def _require_known(plan: Plan, asset: str | None, site: str | None) -> None:
    if site is not None and site not in plan.sites:
        raise Refused(f"there is no site {site}", hint=f"one of: {', '.join(plan.sites)}")
    known = (*plan.protection.assets(), LONG_TERM)
    if asset is not None and not any(_wanted(each, asset) for each in known):
        raise Refused(f"there is no asset {asset}", hint=f"one of: {', '.join(known)}")


def _require_months_listed(plan: Plan, found: Catalogue) -> None:
    """The plan does not name the months: where the archive site cannot be listed, no row tells so."""
    site = plan.site_of("archive")
    for held in found.holdings:
        if (held.asset, held.site) == ("database", site) and held.points is None:
            raise Transient(f"the months at {site} cannot be listed", held.why, "is the site's store up?")


def _wanted(asset: str, wanted: str | None) -> bool:
    return wanted is None or asset == wanted or asset.startswith(f"{wanted}/")


def _show(found: Catalogue, rows: Iterable[Row], coverage: Iterable[Finding]) -> None:
    # Into a pipe or a file the table is as wide as it needs.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    table = Table(title=f"backups at {moment(found.at)} UTC", title_justify="left", box=None, pad_edge=False)
    for head in ("", "points", "age", "late after", "restorable to", "verified", "state"):
        table.add_column(head, no_wrap=True)
    asset, shown = "", list(rows)
    for row in shown:
        if row.asset != asset:
            asset = row.asset
            table.add_row(f"[bold]{asset}[/]")
        table.add_row(*_cells(row))
    console.print(table)
    for finding in (*(row.finding for row in shown), *coverage):
        if finding.severity != "ok":
            _tell(console, finding)
    if found.frozen:
        console.print(f"[yellow]expiry is frozen[/]: {found.frozen}")


def _cells(row: Row) -> tuple[str, ...]:
    colour = _COLOURS[row.finding.severity]
    return (
        f"  {row.site}",
        str(row.points),
        span(row.age) if row.age is not None else "",
        span(row.allowed) if row.allowed else "on change",
        _short(row.restorable_to),
        _short(row.verified) or "never",
        f"[{colour}]{row.state}[/]",
    )


def _short(at: datetime | None) -> str:
    """A moment to the minute, without its year: the table has a title that tells it."""
    return f"{at:%m-%d %H:%M}" if at else ""


def _tell(console: Console, finding: Finding) -> None:
    colour = _COLOURS[finding.severity]
    told = f"[{colour}]{finding.severity}[/] {finding.name}: {finding.detail}"
    console.print(f"{told} ({finding.hint})" if finding.hint else told)


def _document(found: Catalogue, rows: Iterable[Row], coverage: Iterable[Finding]) -> dict[str, Any]:
    shown = list(rows)
    wanted = {(row.asset, row.site) for row in shown}
    held = [each for each in found.holdings if (each.asset, each.site) in wanted]
    return {
        "at": found.at,
        "rows": [asdict(row) for row in shown],
        "coverage": [asdict(finding) for finding in coverage],
        "frozen": found.frozen,
        "points": [asdict(point) for each in held for point in each.points or ()],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(type(value).__name__)
