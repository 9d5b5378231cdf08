"""Prove the backups of every kind, at every site. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.current import current_plan
from tasks.restore_database import start_newest
from tasks.verify import (
    Found,
    chosen_share,
    chosen_sites,
    publish_verification,
    sealed_assets,
    verify_database,
    verify_files,
)
from tasks.verify_points import verify_points


@flow(persist_result=False)
def verify_backups(site: str | None = None, share: float | None = None) -> None:
    """Verify every site's copies, and really start the newest database backup of each.

    What one site does not tell hides no other. The run fails, naming each, where something is damaged, is not
    there, or could not be told.

    Args:
        site: only this site's copies.
        share: the part of the bytes to read, from 0 to 1; the plan's sample where empty.
    """
    plan = current_plan()
    part, sealed = chosen_share(plan, share), sealed_assets(plan)
    done: dict[tuple[str, str], Found] = {}
    for each in chosen_sites(plan, site):
        done[each, "database"] = verify_database(plan, each, return_state=True)
        done[each, "database, started"] = start_newest(plan, each, return_state=True)
        done[each, "files"] = verify_files(plan, each, part, return_state=True)
        done[each, "points"] = verify_points(plan, each, sealed, part, return_state=True)
    publish_verification(plan, done)
