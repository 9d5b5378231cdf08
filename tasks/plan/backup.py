"""What is backed up, when, and for how long it is kept: the seed's backup_strategy."""

from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.values import Duration, Flag


class ScheduledBackup(Block):
    """When a backup is taken, and how long it is kept."""

    schedule: Schedule
    retention: Duration


class WalArchiving(Block):
    """How far back any point in time can be recovered."""

    enabled: Flag
    retention: Duration


class DatabaseBackup(Block):
    """The database's backups."""

    full_backup: ScheduledBackup
    incremental_backup: ScheduledBackup
    wal_archiving: WalArchiving


class FilesystemBackup(ScheduledBackup):
    """The application data's backups."""

    compression: Flag
    encryption: Flag


class ConfigurationBackup(ScheduledBackup):
    """The configuration's backups."""

    versioning: Flag


class BackupStrategy(Block):
    """Seed, "Backup Schedule and Retention"."""

    database: DatabaseBackup
    filesystem: FilesystemBackup
    configuration: ConfigurationBackup

    def scheduled(self) -> dict[str, ScheduledBackup]:
        """Every scheduled backup by its path in this block."""
        return {
            "database.full_backup": self.database.full_backup,
            "database.incremental_backup": self.database.incremental_backup,
            "filesystem": self.filesystem,
            "configuration": self.configuration,
        }
