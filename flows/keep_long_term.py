"""Set a full backup of the month apart for years. Source: the seed's "Cross-Region Backup Replication"."""

from prefect import flow

from tasks.clients.longterm import LongTermPoint
from tasks.current import current_plan
from tasks.long_term import keep_long_term as keep
from tasks.long_term import publish_long_term


@flow(persist_result=False)
def keep_long_term() -> list[LongTermPoint]:
    """Set the newest full backup apart at the archive site, once a month, locked for years.

    Returns:
        every point that is set apart.
    """
    plan = current_plan()
    keep(plan)
    return list(publish_long_term(plan))
