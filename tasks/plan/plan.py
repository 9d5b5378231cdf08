"""The whole plan: the service's description and the seed's blocks, frozen."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, PrivateAttr

from tasks.errors import Permanent
from tasks.plan.availability import HighAvailability, PatroniTimings, PostgresqlHa, SlaTier, SlaTiers
from tasks.plan.backup import BackupStrategy
from tasks.plan.base import Block
from tasks.plan.business import BusinessImpact
from tasks.plan.communication import Alerting, CommunicationTemplates, Notifications
from tasks.plan.continuity import Continuity
from tasks.plan.crisis import CrisisCommunication
from tasks.plan.drills import DrillPolicy
from tasks.plan.evidence import EvidencePolicy
from tasks.plan.mesh import Mesh
from tasks.plan.monitoring import Monitoring
from tasks.plan.procedures import ContinuityStrategies, Declaration, DisasterRecovery, DrTesting
from tasks.plan.protection import Protection
from tasks.plan.readiness import ReadinessPolicy
from tasks.plan.redis_ha import RedisHa
from tasks.plan.references import Credentials, path_of, read_credentials, read_secret
from tasks.plan.schedule import Schedule
from tasks.plan.services import FurtherService, Turn
from tasks.plan.sites import Access, Recovery, Role, Secrets, Service, Site
from tasks.plan.telemetry import Telemetry
from tasks.plan.validation import RecoveryValidation
from tasks.plan.values import Name
from tasks.plan.window import Window


class NamedSchedule(NamedTuple):
    """When a flow runs, and in which variant where it has several."""

    flow: str
    variant: str
    schedule: Schedule

    @property
    def name(self) -> str:
        """The flow and its variant, hyphenated."""
        return "-".join(part.replace("_", "-") for part in (self.flow, self.variant) if part)


class Plan(Block):
    """One service over three regions; everything else is rendered or scheduled from it.

    Read one with `tasks.plan.load.load_plan`, which also checks the blocks against each other.
    """

    service: Service
    sites: dict[Name, Site]
    secrets: Secrets
    access: Access
    recovery: Recovery
    declaration: Declaration
    notifications: Notifications
    mesh: Mesh
    high_availability: HighAvailability
    postgresql_ha: PostgresqlHa
    sla_tiers: SlaTiers
    backup_strategy: BackupStrategy
    protection: Protection
    disaster_recovery: DisasterRecovery
    continuity_strategies: ContinuityStrategies
    continuity: Continuity = Continuity()
    communication_templates: CommunicationTemplates
    dr_testing: DrTesting
    monitoring: Monitoring
    alerting: Alerting
    redis_ha: RedisHa = RedisHa()
    validation: RecoveryValidation = RecoveryValidation()
    evidence: EvidencePolicy | None = None
    drills: DrillPolicy = Field(default_factory=DrillPolicy)
    readiness: ReadinessPolicy = Field(default_factory=ReadinessPolicy)
    maintenance: tuple[Window, ...] = ()
    business_impact: BusinessImpact = Field(default_factory=dict)
    services: dict[Name, FurtherService] = Field(default_factory=dict)
    crisis_communication: CrisisCommunication | None = None
    telemetry: Telemetry = Telemetry()

    _folder: Path = PrivateAttr(default_factory=Path)

    def model_post_init(self, context: Any) -> None:
        """Remember the plan's own folder, given as `context={"folder": ...}`."""
        if context and "folder" in context:
            self._folder = context["folder"]

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:  # noqa: PYI058 -- as pydantic's own
        """Nothing: Prefect would look for other tasks' results in each of its 1,200 values."""
        yield from ()

    @property
    def folder(self) -> Path:
        """Where the plan lies; what relative references start from."""
        return self._folder

    @property
    def tier(self) -> SlaTier:
        """What the service is promised."""
        return self.sla_tiers[self.service.tier]

    @property
    def crisis(self) -> CrisisCommunication:
        """What is said outside, and what is owed.

        Raises:
            Permanent: the plan says nothing of it.
        """
        if self.crisis_communication is None:
            raise Permanent("nobody outside is told anything", "the plan has no crisis_communication")
        return self.crisis_communication

    @property
    def pagerduty_escalates(self) -> bool:
        """Whether PagerDuty takes a critical page from level to level itself."""
        return bool(self.notifications.pagerduty and self.notifications.pagerduty.escalation)

    @property
    def turns(self) -> dict[str, Turn]:
        """Every service's place in the business order, the main one first."""
        others = {name: each.turn for name, each in self.services.items()}
        return {self.service.name: self.service.turn, **others}

    @property
    def patroni_timings(self) -> PatroniTimings:
        """Patroni's timings in seconds, for both clusters."""
        return self.postgresql_ha.failover.patroni_timings

    def site_of(self, role: Role) -> str:
        """The name of the site that the plan gives a role."""
        return next(name for name, site in self.sites.items() if site.role == role)

    def place_of(self, address: str) -> dict[str, str]:
        """The site and the host of an address of the plan; nothing for any other."""
        places = (
            {"site": site, "host": host}
            for site, described in self.sites.items()
            for host, known in described.hosts.items()
            if str(known.address) == address
        )
        return next(places, {})

    def secret(self, name: str) -> str:
        """The text of one of the plan's `secrets`, by its key; read anew each time.

        Raises:
            Permanent: it cannot be read.
        """
        return read_secret(self._folder, getattr(self.secrets, name))

    def secret_path(self, name: str) -> Path:
        """The file of one of the plan's `secrets`, for programs that read it themselves.

        Raises:
            Permanent: the plan names no file for it.
        """
        return path_of(self._folder, getattr(self.secrets, name))

    def credentials(self, reference: str) -> Credentials:
        """The object store credentials behind a reference such as `sites[name].storage.owner`.

        Raises:
            Permanent: they cannot be read.
        """
        return read_credentials(self._folder, reference)

    def schedules(self) -> tuple[NamedSchedule, ...]:
        """Everything that runs by itself, in the order in which a day needs it."""
        backups = self.backup_strategy
        drills = self.dr_testing.drills().items()
        return (
            NamedSchedule("backup_database", "full", backups.database.full_backup.schedule),
            NamedSchedule("backup_database", "incremental", backups.database.incremental_backup.schedule),
            NamedSchedule("backup_files", "", backups.filesystem.schedule),
            NamedSchedule("backup_configuration", "", backups.configuration.schedule),
            NamedSchedule("backup_configuration", "catch_up", self.protection.configuration.catch_up),
            NamedSchedule("backup_redis", "", self.protection.redis.schedule),
            NamedSchedule("backup_secrets", "", self.protection.secrets.schedule),
            NamedSchedule("check_wal_archiving", "", self.recovery.wal_check),
            NamedSchedule("replicate_backups", "", self.recovery.replication),
            NamedSchedule("catalogue_backups", "", self.recovery.replication),
            NamedSchedule("verify_backups", "", self.protection.verification.schedule),
            NamedSchedule("keep_long_term", "", self.protection.archive.schedule),
            NamedSchedule("expire_backups", "", self.protection.expiry),
            *self._evidence_schedules(),
            *self._crisis_schedules(),
            *(NamedSchedule(f"drill_{name}", "", drill.frequency) for name, drill in drills),
            NamedSchedule("sweep_drills", "", self.drills.sweep),
            NamedSchedule("evaluate_readiness", "", self.readiness.schedule),
        )

    def _crisis_schedules(self) -> tuple[NamedSchedule, ...]:
        if self.crisis_communication is None:
            return ()
        return (NamedSchedule("inform", "", self.crisis_communication.republish),)

    def _evidence_schedules(self) -> tuple[NamedSchedule, ...]:
        if self.evidence is None:
            return ()
        return (
            NamedSchedule("seal_reports", "", self.evidence.schedule),
            NamedSchedule("review_objectives", "", self.evidence.review),
        )
