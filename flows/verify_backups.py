"""Prove the backups of every kind, at every site. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.current import current_plan
from tasks.verify import (
    chosen_share,
    chosen_sites,
    publish_verification,
    verify_database,
    verify_files,
    verify_points,
)


@flow(persist_result=False)
def verify_backups(site: str | None = None, share: float | None = None) -> None:
    """Verify every site's copies; what one site does not tell hides no other.

    The run fails, naming each, where something is damaged, is not there, or could not be told.

    Args:
        site: only this site's copies.
        share: the part of the bytes to read, from 0 to 1; the plan's sample where empty.
    """
    plan = current_plan()
    part = chosen_share(plan, share)
    done = {}
    for each in chosen_sites(plan, site):
        done[each, "database"] = verify_database(plan, each, return_state=True)
        done[each, "files"] = verify_files(plan, each, part, return_state=True)
        done[each, "points"] = verify_points(plan, each, part, return_state=True)
    publish_verification(plan, done)
