"""What a plan tolerates of WAL archiving."""

from datetime import timedelta

from tasks.facts.archive import ArchiveLimits
from tasks.plan.plan import Plan


def limits_of(plan: Plan) -> ArchiveLimits:
    """The tier's RPO, the WAL retention, and how late a segment may be; a copy is by the time of a pull."""
    late: timedelta = plan.recovery.archive_timeout + plan.recovery.pull_interval
    retention = plan.backup_strategy.database.wal_archiving.retention
    return ArchiveLimits(rpo=plan.tier.rpo, archive_timeout=late, wal_retention=retention)
