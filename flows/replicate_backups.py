"""Copy the backups to the other sites. Source: the seed's "Cross-Region Backup Replication"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.copies import CopyReport
from tasks.native_replication import native_pulls, publish_native, replicate_natively
from tasks.replicate import due_copies, publish_copies, replicate
from tasks.replication_status import keep_status


@flow(persist_result=False)
def replicate_backups(source: str | None = None, target: str | None = None) -> list[CopyReport]:
    """Let every other site pull the active site's repositories; the archive pulls from the DR site.

    Where the plan lets S3 itself replicate a bucket, that is seen to first; the pull heals what is missing.

    Args:
        source: only from this site.
        target: only to this site.

    Returns:
        what every pull of every repository did; the run fails where one failed or found a conflict.
    """
    plan = current_plan()
    copies = due_copies(plan, source, target)
    natively = native_pulls(plan, [copy[0] for copy in copies])
    publish_native([found for pull in natively for found in replicate_natively(plan, pull)])
    done = {copy: replicate(plan, *copy, return_state=True) for copy in copies}
    keep_status(plan, done)
    return publish_copies(done)
