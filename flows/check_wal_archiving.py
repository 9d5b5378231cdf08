"""See that WAL archiving is real, at every site. Source: the seed's "Backup Strategy"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.archive import Finding
from tasks.wal import check_archive, check_archiver, look_at_primary, publish_findings


@flow(persist_result=False)
def check_wal_archiving() -> dict[str, tuple[Finding, ...]]:
    """Compare what each site's bucket holds with what the primary wrote, and judge it by the tier's RPO.

    Returns:
        the findings by site; the run fails where one of them is critical or unknown.
    """
    plan = current_plan()
    before = look_at_primary(plan)
    found = {site: check_archive(plan, site, before) for site in plan.sites}
    after = look_at_primary(plan)
    found["primary"] = (check_archiver(plan, before, after),)
    publish_findings(found)
    return found
