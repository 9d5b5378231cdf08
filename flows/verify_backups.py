"""Prove the backups of every kind, at every site. Source: the seed's "Backup Strategies"."""

from decimal import Decimal

from prefect import flow

from tasks.compare import compare_sites
from tasks.current import current_plan
from tasks.policy.replication import repositories
from tasks.restore_database import start_newest
from tasks.verify import (
    Found,
    chosen_share,
    chosen_sites,
    damaged_before,
    publish_verification,
    sealed_assets,
    verify_database,
    verify_files,
)
from tasks.verify_long_term import verify_long_term
from tasks.verify_points import verify_points


@flow(persist_result=False)
def verify_backups(site: str | None = None, share: float | None = None) -> None:
    """Verify every site's copies, really start each one's newest database backup, and compare the sites.

    Of what the archive keeps for the long term, the newest month is verified, and one of the others in turn.
    What one site does not tell hides no other. The run fails, naming each, where something is damaged, is not
    there, or could not be told.

    Args:
        site: only this site's copies.
        share: the part of the bytes to read, from 0 to 1; the plan's sample where empty. What has damage on
            record is read as a whole.
    """
    plan = current_plan()
    sites = chosen_sites(plan, site)
    part, whole, sealed = chosen_share(plan, share), Decimal(1), sealed_assets(plan)
    damaged = damaged_before(plan)
    done: dict[tuple[str, str], Found] = {}
    for each in sites:
        done[each, "database"] = verify_database(plan, each, return_state=True)
        done[each, "database, started"] = start_newest(plan, each, return_state=True)
        files, points = (whole if (each, kind) in damaged else part for kind in ("files", "points"))
        done[each, "files"] = verify_files(plan, each, files, return_state=True)
        done[each, "points"] = verify_points(plan, each, sealed, points, return_state=True)
    if plan.site_of("archive") in sites:
        done |= verify_long_term(plan)
    roots = repositories(plan.postgresql_ha.cluster_name)
    between = {root: compare_sites(plan, root, return_state=True) for root in roots}
    publish_verification(plan, done, between)
