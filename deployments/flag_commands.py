"""`dr flags`: what the service does without in trouble, shown and set by hand."""

import getpass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from pydantic_core import PydanticCustomError
from rich.console import Console
from rich.table import Column, Table

from deployments.environment import active_plan
from tasks.clients.flag_settings import FlagSetting
from tasks.clients.flags import read
from tasks.clients.truth import active_site
from tasks.errors import Refused
from tasks.flags import set_by_hand
from tasks.plan.continuity import FeatureFlag
from tasks.plan.plan import Plan
from tasks.plan.values import parse_duration
from tasks.policy.tables import moment

flags = typer.Typer(help="The service's feature flags.", no_args_is_help=True)
Site = Annotated[str | None, typer.Option(help="a site; the active one unless given")]


class State(StrEnum):
    """What a flag can be set to."""

    ON = "on"
    OFF = "off"
    DEFAULT = "default"


@flags.command()
def show(site: Site = None) -> None:
    """Show each flag of the plan: what it is now, by whom, why, and until when."""
    plan = active_plan()
    where = _where(plan, site)
    found, now = read(plan, where), datetime.now(UTC)
    table = Table(Column("flag", no_wrap=True), "now", "by", "why", "until", "while it is on", title=where)
    for name, flag in plan.continuity.flags.items():
        table.add_row(name, *_row(flag, found.get(name), now), flag.does)
    Console(highlight=False).print(table)


@flags.command("set")
def set_flag(  # noqa: PLR0913 -- who, what, why, where and for how long
    name: Annotated[str, typer.Argument(help="as `dr flags show` has it")],
    to: Annotated[State, typer.Argument(help="`default` leaves it to the plan and to recoveries")],
    why: Annotated[str, typer.Option(help="why; it stands on record")],
    by: Annotated[str | None, typer.Option(help="who; the account unless given")] = None,
    lasting: Annotated[str | None, typer.Option(help="such as '10 minutes'; for ever unless given")] = None,
    site: Site = None,
) -> None:
    """Set a flag; the service acts on it within two seconds."""
    plan = active_plan()
    where = _where(plan, site)
    now = datetime.now(UTC)
    flag = plan.continuity.flags.get(name, FeatureFlag(does="nothing"))
    told = FlagSetting(
        on=flag.default if to is State.DEFAULT else to is State.ON,
        by=by or getpass.getuser(),
        why=why,
        at=now,
        until=_end(now, lasting),
    )
    set_by_hand(plan, where, name, told, to_default=to is State.DEFAULT)
    print(f"{name} is {to.value} at {where}")


def _end(now: datetime, lasting: str | None) -> datetime | None:
    try:
        return now + parse_duration(lasting) if lasting else None
    except PydanticCustomError as wrong:
        raise Refused("--lasting is no duration", wrong.message()) from None


def _where(plan: Plan, site: str | None) -> str:
    able = [name for name, each in plan.sites.items() if each.running("redis")]
    where = site or active_site(plan)
    if where not in able:
        raise Refused(f"{where} has no flags", f"sites with a Redis: {', '.join(able)}")
    return where


def _row(flag: FeatureFlag, setting: FlagSetting | None, now: datetime) -> tuple[str, str, str, str]:
    if setting is None or not setting.holds(now):
        return _word(flag.default), "the plan", "", ""
    return _word(setting.on), setting.by, setting.why, moment(setting.until) if setting.until else "for ever"


def _word(on: bool) -> str:
    return "on" if on else "off"
