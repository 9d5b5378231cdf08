"""Database backups by pgBackRest, into the active site's repository.

Source: pgBackRest command reference, "Backup Command".
"""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import patroni, pgbackrest
from tasks.clients.objects import Bucket
from tasks.clients.truth import active_site
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.retry import is_transient

_BACKUP_S = 4 * 3600


@task(
    name="take a backup",
    retries=3,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def take_backup(plan: Plan, kind: pgbackrest.Kind) -> str:
    """Take one backup of the active site's cluster.

    Returns:
        the label of the backup it made.

    Raises:
        Transient: the leader cannot be reached.
        Permanent: pgBackRest failed, or reports no new backup.
    """
    site = active_site(plan)
    leader = patroni.leader(plan, site)
    before = _labels(plan, site, leader.name)
    pgbackrest.backup(plan, site, leader.name, kind, timeout=_BACKUP_S)
    new = [label for label in _labels(plan, site, leader.name) if label not in before]
    if not new:
        raise Permanent("pgBackRest ended well but the repository has no new backup", f"site {site}")
    return new[-1]


@task(
    name="see that the backup arrived",
    retries=3,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def verify_backup(plan: Plan, label: str) -> None:
    """See the backup's manifest in the bucket, and a size that a database can have.

    Raises:
        Permanent: it is not there, or implausibly small.
    """
    site = active_site(plan)
    leader = patroni.leader(plan, site)
    backups = pgbackrest.info(plan, site, leader.name)["backup"]
    mine = next((backup for backup in backups if backup["label"] == label), None)
    if mine is None or mine["error"]:
        raise Permanent(f"backup {label} is not usable", str(mine), "look at pgBackRest's log")
    folder = f"pgbackrest/backup/{plan.postgresql_ha.cluster_name}/{label}/"
    stored = sum(entry.size for entry in Bucket.owned(plan, site).list(folder))
    if stored < mine["info"]["repository"]["delta"]:
        raise Permanent(
            f"backup {label} is not whole in the bucket",
            f"{stored} bytes stored, {mine['info']['repository']['delta']} expected",
        )


def _labels(plan: Plan, site: str, host: str) -> list[str]:
    return [backup["label"] for backup in pgbackrest.info(plan, site, host)["backup"]]
