"""What is protected beside the database, and what the seed leaves open about its backups."""

from typing import Annotated

from pydantic import Field

from tasks.plan.backup import ScheduledBackup
from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.sites import AbsolutePath, Program
from tasks.plan.values import Day, HttpUrl, Name, Percentage, SecretRef, Sentence, matching

AssetName = Annotated[
    str,
    matching(
        r"(database|redis|etcd|control|(files|configuration|secrets)/[a-z0-9][a-z0-9-]{0,61})",
        "'database', 'redis', 'etcd', 'control', or 'files/NAME', 'configuration/NAME', 'secrets/NAME'",
    ),
]
GitUrl = Annotated[
    str,
    matching(r"(?!-)\S+", "a git repository: a path beside the plan, an absolute path, or a URL git knows"),
]


class FileAsset(Block):
    """A directory on the hosts that run a program; the first such host of the active site is its source."""

    program: Program
    path: AbsolutePath


class ConfigurationAssets(Block):
    """Git repositories, bundled with their history, and how often a missed change is caught up."""

    repositories: Annotated[dict[Name, GitUrl], Field(min_length=1)]
    catch_up: Schedule


class SecretsManager(Block):
    """Secrets that AWS Secrets Manager keeps; `endpoint` where it is not Amazon's own."""

    region: Name
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    credentials: SecretRef
    endpoint: HttpUrl | None = None


class SecretsProtection(ScheduledBackup):
    """Secrets and certificates, sealed to recovery recipients before they touch a disk or a network.

    `recipients` is a file of age public keys, one a line; `recovery_key` the escrowed identity, read by
    verification and restore only. The plan's own secrets are always an asset: `secrets/plan`.
    """

    recipients: SecretRef
    recovery_key: SecretRef
    files: dict[Name, FileAsset] = Field(default_factory=dict)
    manager: SecretsManager | None = None


class Verification(Block):
    """How often copies are verified, and which part of their bytes each time reads."""

    schedule: Schedule
    sample: Percentage


class CoverageException(Block):
    """An asset that is knowingly not backed up, by whose decision, and until when."""

    asset: AssetName
    reason: Sentence
    owner: Sentence
    until: Day


class Protection(Block):
    """Everything that is backed up beside the database.

    `archive` is the long-term copy: how often one full backup is set apart at the archive site, and for how
    long.
    """

    redis: ScheduledBackup
    files: Annotated[dict[Name, FileAsset], Field(min_length=1)]
    configuration: ConfigurationAssets
    secrets: SecretsProtection
    archive: ScheduledBackup
    verification: Verification
    expiry: Schedule
    exceptions: tuple[CoverageException, ...] = ()

    def assets(self) -> tuple[str, ...]:
        """Every asset that is backed up, by name."""
        secret = {"plan", *self.secrets.files, *(["manager"] if self.secrets.manager else [])}
        return (
            "database",
            "redis",
            *(f"files/{name}" for name in self.files),
            *(f"configuration/{name}" for name in (*self.configuration.repositories, "servers")),
            *(f"secrets/{name}" for name in sorted(secret)),
        )
