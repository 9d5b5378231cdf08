"""Restore the database beside what runs. Source: the seed's "Disaster Recovery Procedures"."""

from datetime import UTC, datetime

from prefect import flow

from tasks.current import current_plan
from tasks.restore_database import (
    Restored,
    choose_place,
    open_restored,
    restore_files,
    restoring,
    tell_restored,
)


# Async for the reason that `backup_database` is.
@flow(persist_result=False)
async def restore_database(  # noqa: PLR0913 -- what an operator may choose
    from_site: str | None = None,
    at: datetime | None = None,
    label: str | None = None,
    host: str | None = None,
    into: str | None = None,
    keep: bool = False,
) -> Restored:
    """Restore a backup into a directory of its own, open it in private, and check every row of it.

    Args:
        from_site: whose copy of the backups; the active site's where none is given.
        at: the moment to recover to; without a label too, the newest that the WAL gives.
        label: the backup; without `at`, it is recovered to its own end.
        host: a database host; one that answers where none is given.
        into: an empty or missing directory there; one beside the data directory where none is given.
        keep: keep the restored directory, with its server stopped.

    Returns:
        what was restored: where its recovery ended, and a digest of each table.
    """
    plan = current_plan()
    place = choose_place(plan, from_site, host, into, keep=keep, now=datetime.now(UTC))
    with restoring(plan, place, keep=keep):
        restore_files(plan, place, label, at)
        restored = open_restored(plan, place, keep=keep)
    tell_restored(restored)
    return restored
