"""See that WAL archiving is real, at every site. Source: the seed's "Backup Strategy"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.archive import Finding
from tasks.wal import list_archives, look_again, look_at_primary, switch_wal
from tasks.wal_report import judge, publish_findings

_CHANGES = 3


@flow(persist_result=False)
def check_wal_archiving(switch: bool = False) -> dict[str, tuple[Finding, ...]]:
    """Compare what each site's bucket holds with what the primary wrote, and judge it by the tier's RPO.

    Args:
        switch: end the primary's segment first, so that an archive_command that stores nothing is seen at
            once on an idle primary too; without it, at the latest after archive_timeout from its next write.

    Returns:
        the findings by site, those on the primary itself under "primary"; the run fails where one of them
        is critical or unknown.
    """
    plan = current_plan()
    if switch:
        switch_wal(plan)
    for _ in range(_CHANGES):
        before = look_at_primary(plan)
        archives = list_archives(plan, before)
        after = look_again(plan, before)
        if after.follows(before):
            break
    found, numbers = judge(plan, archives, before, after)
    publish_findings(plan, found, numbers)
    return found
