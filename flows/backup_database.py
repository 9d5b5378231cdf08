"""Back the database up. Source: the seed's "Backup Schedule and Retention"."""

from typing import Literal

from prefect import flow

from tasks.backup import take_backup, tell_backup, verify_backup
from tasks.current import current_plan


# Async, though it awaits nothing: a sync flow waits up to a second at its end for Prefect's heartbeat thread.
@flow(persist_result=False)
async def backup_database(kind: Literal["full", "incr"] = "full") -> str:
    """Take a backup of the active site's database into its repository and see that it arrived.

    Args:
        kind: full, or incr for what changed since the last.

    Returns:
        the backup's label.
    """
    plan = current_plan()
    taken = take_backup(plan, kind)
    stored = verify_backup(plan, taken)
    tell_backup(taken, stored)
    return taken.label
