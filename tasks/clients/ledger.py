"""The clients' own ledger of acknowledged writes, where the plan names one; independent of the database."""

import json
from pathlib import Path

from tasks.clients.postgres import connected
from tasks.plan.plan import Plan


def acknowledged_at(plan: Plan) -> dict[str, float] | None:
    """When each acknowledged write was, in epoch seconds, by its id.

    None where the plan names no ledger or nothing was written yet.
    """
    book = plan.recovery.ledger
    if book is None:
        return None
    path = plan.folder / Path(book.file)
    if not path.exists():
        return None
    entries = (entry for line in path.read_text().splitlines() if (entry := _entry(line)))
    return {entry["id"]: float(entry["acknowledged_at"]) for entry in entries}


def acknowledged(plan: Plan) -> set[str] | None:
    """The ids of all acknowledged writes; None as above."""
    times = acknowledged_at(plan)
    return None if times is None else set(times)


def missing(plan: Plan, address: str, ids: set[str]) -> set[str]:
    """Those of the ids that a database does not have.

    Args:
        plan: its ledger's query finds ids in the database.
        address: the database's node.
        ids: what should be there.

    Raises:
        Transient, Permanent: see `connected`.
    """
    book = plan.recovery.ledger
    if book is None or not ids:
        return set()
    with connected(plan, address, timeout=60) as connection:
        rows = connection.execute(book.query.encode(), (list(ids),)).fetchall()
    return ids - {str(row["id"]) for row in rows}


def _entry(line: str) -> dict[str, str] | None:
    try:
        entry: dict[str, str] = json.loads(line)
    except json.JSONDecodeError:
        return None  # the last line, torn by a crash
    return entry if "acknowledged_at" in entry else None
