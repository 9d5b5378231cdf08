"""`dr watch`: what the vantages say of the active site."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deployments.environment import active_plan
from tasks.clients.truth import active_site
from tasks.errors import Transient
from tasks.facts.watch import Record, Told
from tasks.plan.plan import Plan
from tasks.policy.tables import moment, span
from tasks.policy.watch import rule_of
from tasks.watching import Exchange, vantages_of

_WIDE = 120
_COLOURS = {"healthy": "green", "degraded": "yellow", "zone_failure": "yellow"}


def watch(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Show what every vantage sees of the active site; exit 1 where one is silent, or sees it not healthy."""
    plan = active_plan()
    told = Exchange(plan, plan.site_of("dr"), rule_of(plan)).read(active_site(plan))
    if not told.quorum:
        raise Transient("etcd has no quorum", hint="each vantage goes on looking: see its log")
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps(_document(plan, told), indent=2))
    else:
        _show(plan, told, now)
    records = [_record(told, vantage) for vantage in vantages_of(plan)]
    if any(it is None or it.verdict != "healthy" or is_old(plan, it, now) for it in records):
        raise typer.Exit(1)


def is_old(plan: Plan, record: Record, now: datetime) -> bool:
    """Whether a vantage looks no more, as far as two clocks can tell."""
    return (now - record.at).total_seconds() > rule_of(plan).patience


def _record(told: Told, vantage: str) -> Record | None:
    record, _ = told.records.get(vantage, (None, 0))
    return record


def _document(plan: Plan, told: Told) -> dict[str, object]:
    records = {vantage: _record(told, vantage) for vantage in vantages_of(plan)}
    return {
        "active": told.active,
        "epoch": told.epoch,
        "incident": told.incident,
        "suspicion": told.suspicion.model_dump(mode="json") if told.suspicion else None,
        "vantages": {name: it.model_dump(mode="json") if it else None for name, it in records.items()},
    }


def _show(plan: Plan, told: Told, now: datetime) -> None:
    # Into a pipe or a file the table is as wide as it needs.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    table = Table(title=f"{told.active} at {moment(now)} UTC", title_justify="left", box=None, pad_edge=False)
    for head in ("vantage", "verdict", "since", "looked", "last look", "not good"):
        table.add_column(head, no_wrap=head != "not good")
    for vantage in vantages_of(plan):
        table.add_row(vantage, *_cells(plan, _record(told, vantage), now))
    console.print(table)
    for line in _lines(plan, told):
        console.print(line, soft_wrap=True)


def _cells(plan: Plan, record: Record | None, now: datetime) -> Iterator[str]:
    if record is None:
        yield "[red]never seen[/]"
        return
    silent, colour = is_old(plan, record, now), _COLOURS.get(record.verdict, "red")
    yield "[red]silent[/]" if silent else f"[{colour}]{record.verdict}[/]"
    yield moment(record.since)
    yield f"{span(now - record.at)} ago"
    yield record.level
    yield str(sum(name != "leader key" for name in record.evidence))


def _lines(plan: Plan, told: Told) -> Iterator[str]:
    if told.incident:
        yield f"incident {told.incident} is open: nothing else is declared"
    if told.suspicion:
        yield f"{told.suspicion.site} is suspected since {moment(told.suspicion.detected_at)} UTC"
    for vantage in vantages_of(plan):
        record = _record(told, vantage)
        if record is None:
            continue
        for finding in record.findings:
            yield f"{vantage}: {finding.name}: {finding.detail}"
        for what, why in record.evidence.items():
            yield f"{vantage}: {what}: {why}"
