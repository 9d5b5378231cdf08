"""Copy the backups to the other sites. Source: the seed's "Cross-Region Backup Replication"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.archive import CopyReport
from tasks.replicate import due_pulls, publish_copies, replicate


@flow(persist_result=False)
def replicate_backups(source: str | None = None, target: str | None = None) -> list[CopyReport]:
    """Let every other site pull the active site's repository; the archive pulls from the DR site.

    Args:
        source: only from this site.
        target: only to this site.

    Returns:
        what every pull did; the run fails where one failed or found a conflict.
    """
    plan = current_plan()
    pulls = due_pulls(plan, source, target)
    done = {pull: replicate(plan, pull, return_state=True) for pull in pulls}
    return publish_copies(done)
