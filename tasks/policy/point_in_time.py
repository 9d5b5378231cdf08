"""What a restored moment and the live database say of each other, table by table. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.clients.digests import Digest, Digests
from tasks.clients.moment import require_zone
from tasks.errors import Refused
from tasks.facts.point_in_time import Rescued, TableDifference, Verdict


def differences(then: Digests, now: Digests) -> tuple[TableDifference, ...]:
    """Every table that one of the two has; those that differ first."""
    found = [_difference(name, then.get(name), now.get(name)) for name in sorted(then.keys() | now.keys())]
    return tuple(sorted(found, key=lambda each: each.verdict == "same"))


def choose_tables(found: Sequence[TableDifference], wanted: Sequence[str]) -> tuple[TableDifference, ...]:
    """The tables that a person means by TABLE, SCHEMA.TABLE or DATABASE/SCHEMA.TABLE, each once.

    Raises:
        Refused: one did not exist at the moment, or its name fits several.
    """
    return tuple(dict.fromkeys(_chosen(found, name) for name in wanted))


def require_action(action: str, wanted: Sequence[str]) -> None:
    """Refuse what makes no sense before anything is done.

    Raises:
        Refused: there is no such action, or it needs tables, and none is named.
    """
    if action not in {"compare", "export", "swap"}:
        raise Refused(f"there is no action {action}", hint="one of compare, export, swap")
    if action != "compare" and not wanted:
        raise Refused(f"{action} needs tables", hint='such as --param tables=["orders"]')


def require_reach(oldest: datetime | None, at: datetime, now: datetime) -> None:
    """Refuse a moment that no recovery can reach.

    Args:
        oldest: the end of the oldest whole backup.
        at: the moment.
        now: the clock.

    Raises:
        Refused: it has no time zone, is not past, or lies before the first backup.
    """
    require_zone(at)
    if at >= now:
        raise Refused("the moment is not past", f"{at.isoformat()}, now {now.isoformat()}")
    if oldest is None or at < oldest:
        first = f"the first that can be reached is {oldest.isoformat()}" if oldest else "there is no backup"
        raise Refused("no backup reaches back to that moment", first, "`dr backups` lists what there is")


def schema_of(at: datetime) -> str:
    """The schema of a moment's recovered tables: none shares another's, for what lies there is kept."""
    utc = at.astimezone(UTC)
    return f"recovered_{utc:%Y%m%dt%H%M%S}" + (f"_{utc:%f}" if utc.microsecond else "")


def _difference(name: str, then: Digest | None, now: Digest | None) -> TableDifference:
    verdict: Verdict
    if then is None:
        verdict = "made since"
    elif now is None:
        verdict = "dropped since"
    else:
        verdict = "same" if then == now else "changed"
    return TableDifference(name, then.rows if then else None, now.rows if now else None, verdict)


def _chosen(found: Sequence[TableDifference], wanted: str) -> TableDifference:
    there = [each for each in found if each.then is not None]
    fitting = [each for each in there if wanted in {each.table, each.name, each.name.rpartition(".")[2]}]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise Refused(f"{wanted} is not one table", ", ".join(each.table for each in fitting))
    known = ", ".join(each.table for each in there) or "none"
    raise Refused(f"there was no table {wanted} at that moment", f"there were: {known}")


def in_words(found: Sequence[TableDifference], rescued: Sequence[Rescued]) -> str:
    """What differs, and what was brought back, a line each."""
    lines = [
        f"{each.table}: {each.verdict}, {_rows(each.then)} then, {_rows(each.now)} now"
        for each in found
        if each.verdict != "same"
    ]
    for table in rescued:
        lines.append(f"{table.table}: {table.rows} rows are in {table.where}")
        lines += [f"    {table.command}"] if table.command else []
    same = sum(each.verdict == "same" for each in found)
    return "\n".join([*lines, f"{same} tables are the same"])


def rescued_words(rescued: Sequence[Rescued]) -> list[str]:
    """What was brought back, for an error that comes after it."""
    return [f"{each.table} is back in {each.where}" for each in rescued]


def _rows(count: int | None) -> str:
    return "not there" if count is None else f"{count} rows"
