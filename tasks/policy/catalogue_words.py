"""The catalogue in words, for the terminal and for the UI. Pure."""

from tasks.facts.catalogue import Catalogue, Row
from tasks.policy.tables import moment, size, span, table

HEAD = ("asset", "site", "points", "newest", "age", "allowed", "from", "to", "size", "verified", "state")


def cells(row: Row) -> tuple[str, ...]:
    """A row in the order of HEAD."""
    return (
        row.asset,
        row.site,
        str(row.points),
        moment(row.newest),
        span(row.age) if row.age is not None else "",
        span(row.allowed) if row.allowed else "on change",
        moment(row.restorable_from),
        moment(row.restorable_to),
        size(row.size),
        moment(row.verified) or "never",
        row.state,
    )


def catalogue_markdown(found: Catalogue) -> str:
    """The whole catalogue as one page."""
    rows = ((*cells(row), row.finding.detail) for row in found.rows)
    covered = ((each.name, each.severity, each.detail) for each in found.coverage)
    parts = [table((*HEAD, "seen"), rows), table(("coverage", "severity", "seen"), covered)]
    if found.frozen:
        parts.append(f"Expiry is frozen: {found.frozen}.")
    return "\n\n".join(parts)
