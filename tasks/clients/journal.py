"""The incident journal: records in the surviving sites' stores, under the incident's id."""

from tasks.clients import records
from tasks.plan.plan import Plan

_FOLDER = "incidents"


def write(plan: Plan, failed_site: str, incident: str, name: str, data: str | bytes) -> None:
    """Write one record to the stores of all sites but the failed one.

    Raises:
        Transient: no store took it.
    """
    records.write(plan, f"{_FOLDER}/{incident}/{name}", data, failed_site)


def read(plan: Plan, incident: str, name: str, failed_site: str = "") -> str | None:
    """One record, from the first store that has it. A failed site is not asked.

    Raises:
        Transient: no store answers.
    """
    return records.read(plan, f"{_FOLDER}/{incident}/{name}", failed_site)


def copies(plan: Plan, incident: str, name: str) -> list[str]:
    """One record as each store has it: one that was away while it was written anew has an older state.

    Raises:
        Transient: no store answers.
    """
    return records.copies(plan, f"{_FOLDER}/{incident}/{name}")


def read_all(plan: Plan, incident: str, prefix: str) -> list[str]:
    """All records whose names begin with a prefix, in name order.

    Raises:
        Transient: no store answers.
    """
    return records.read_all(plan, f"{_FOLDER}/{incident}", prefix)


def incidents(plan: Plan, having: str = "") -> list[str]:
    """The ids of all incidents on record, oldest first; only those that have a record of this name.

    Raises:
        Transient: no store answers.
    """
    return records.names(plan, _FOLDER, f"/{having}" if having else "")
