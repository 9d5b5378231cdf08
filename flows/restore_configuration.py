"""Restore configuration from any of its points. Source: the seed's "Disaster Recovery Procedures"."""

from datetime import datetime
from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.restore_configuration import choose_point, restore_point


@flow(persist_result=False)
def restore_configuration(
    name: str,
    into: Path,
    from_site: str | None = None,
    at: datetime | None = None,
    point: str | None = None,
) -> str:
    """Clone a repository from its bundle, or lay out what the servers ran with.

    Args:
        name: a repository of the plan, or "servers".
        into: a folder that is empty or not there.
        from_site: whose copy; the active site's where empty.
        at: the newest point up to this moment; the newest of all where empty.
        point: just this point, by its stamp.

    Returns:
        the commit that was restored, or the digest of a capture: equal to what was stored.
    """
    plan = current_plan()
    chosen = choose_point(plan, name, from_site, at, point)
    return restore_point(plan, name, chosen, into)
