"""What people broke comes back: a moment restored beside, and compared. Source: "Recovery Procedures"."""

from datetime import UTC, datetime
from typing import Literal

from prefect import flow

from tasks.current import current_plan
from tasks.facts.point_in_time import Rescued
from tasks.point_in_time import compare, export, live_digests, require_moment, swap
from tasks.policy.point_in_time import in_words
from tasks.restore_database import choose_place, open_restored, restore_files, restoring


# Async for the reason that `backup_database` is.
@flow(persist_result=False)
async def restore_point_in_time(
    at: datetime,
    action: Literal["compare", "export", "swap"] = "compare",
    tables: list[str] | None = None,
    from_site: str | None = None,
    host: str | None = None,
) -> str:
    """Restore a moment beside the live database, compare every table, and bring some back where asked to.

    Args:
        at: the moment, with its time zone.
        action: compare only; or export tables, sealed, into the bucket; or swap them into the live database:
            in place where they were dropped, else into a schema `recovered_...` of their own.
        tables: which, as TABLE, SCHEMA.TABLE or DATABASE/SCHEMA.TABLE.
        from_site: whose copy of the backups; the active site's where none is given.
        host: a database host to restore on; one that answers where none is given.

    Returns:
        how the tables differ, and what was brought back, in words.
    """
    plan, wanted = current_plan(), tables or []
    require_moment(plan, from_site, at, action, wanted)
    now = datetime.now(UTC)
    place = choose_place(plan, from_site, host, None, keep=False, now=now, scratch="dr-moment")
    rescued: list[Rescued] = []
    with restoring(plan, place, rescued=rescued):
        restore_files(plan, place, None, at)
        then = open_restored(plan, place).digests
        found = compare(then, live_digests(plan), at)
        where = (place.site, place.host, place.directory)
        if action == "export":
            rescued += export(plan, where, found, wanted, at)
        elif action == "swap":
            rescued += swap(plan, where, found, wanted, at)
    return in_words(found, rescued)
