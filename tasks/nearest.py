"""Have both sites' repositories lead to the new primary: the pull turns round when the service does."""

from tasks.clients import patroni, pgbackrest
from tasks.clients.objects import Bucket
from tasks.copying import Rules, pull_newest_wal
from tasks.errors import DrError
from tasks.facts.copies import CopyReport
from tasks.facts.incident import Incident
from tasks.facts.recovery import Nearest
from tasks.plan.plan import Plan
from tasks.step import step


@step("bring the new WAL to the nearest repository")
def complete_nearest(plan: Plan, incident: Incident) -> Nearest:
    """Copy the new timeline's WAL to the old site's repository, its first segment included.

    A node that is restored there finds the turn to the new timeline only with that segment: else it would
    read on in the old one's. Where this cannot be done, nodes are copied from the new primary instead.

    Returns:
        what was copied, or why it was not.
    """
    try:
        report = bring_newest_wal(plan, incident.to_site, incident.failed_site)
    except DrError as error:
        return Nearest(why_not=str(error))
    return Nearest(objects=report.objects, bytes=report.bytes, why_not="; ".join(report.conflicts[:3]))


@step("bring the last WAL of the old site")
def bring_last_wal(plan: Plan, incident: Incident) -> Nearest:
    """Copy what the old site archived last to the new one's repository: it is pulled the other way by now.

    Else the new site's archive lacks WAL of the time before it was active, and leads to nothing later until
    its next full backup.

    Raises:
        Transient: a store does not answer.
        Permanent: one refuses, or the archives are not of one database.
    """
    source, target = Bucket.readable(plan, incident.failed_site), Bucket.owned(plan, incident.to_site)
    rules = Rules(plan.secret("repository_cipher"))
    report = pull_newest_wal(source, target, plan.postgresql_ha.cluster_name, rules)
    return Nearest(objects=report.objects, bytes=report.bytes, why_not="; ".join(report.conflicts[:3]))


def bring_newest_wal(plan: Plan, active: str, returned: str) -> CopyReport:
    """Copy what the active site has written until now to the repository of one that returns.

    Raises:
        Transient, Permanent: the WAL is not archived, or a store does not answer.
    """
    # The primary's own archive has the segment once it was switched.
    pgbackrest.check(plan, active, patroni.leader(plan, active).name)
    source, target = Bucket.readable(plan, active), Bucket.owned(plan, returned)
    rules = Rules(plan.secret("repository_cipher"))
    return pull_newest_wal(source, target, plan.postgresql_ha.cluster_name, rules)
