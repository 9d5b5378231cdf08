"""What Prefect runs, and when: every flow as a deployment, its schedules taken from the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.automations import register_automations
from infra.control import RECOVERY_POOL, ROUTINE_POOL
from tasks.plan.plan import NamedSchedule, Plan

# On every deployment that is ours, so that `register` knows which ones to remove.
OWNER_TAG = "naas-dr"
REFUSED, QUEUED = ConcurrencyLimitStrategy.CANCEL_NEW, ConcurrencyLimitStrategy.ENQUEUE


@dataclass(frozen=True)
class Deployment:
    """One flow as Prefect runs it: never two runs of it at once.

    Attributes:
        entrypoint: the flow, as `package.module.function`.
        pool: whose worker runs it; the recovery pool's deployments are also the warm runner's.
        collision: what becomes of a run that is started while another one runs.
        variants: the flow's parameters for each variant that the plan schedules.
    """

    entrypoint: str
    pool: str
    collision: ConcurrencyLimitStrategy
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def function(self) -> str:
        """The flow's function, which is its name in the plan's schedules."""
        return self.entrypoint.rpartition(".")[2]

    def schedules(self, planned: Sequence[NamedSchedule]) -> list[DeploymentScheduleCreate]:
        """Its own among the plan's schedules; those that an event triggers are not the scheduler's."""
        return [
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=item.schedule.cron, timezone=item.schedule.timezone),
                parameters=dict(self.variants.get(item.variant, {})),
                slug=item.name,
            )
            for item in planned
            if item.flow == self.function and item.schedule.cron
        ]


DEPLOYMENTS = (
    # pgBackRest takes one backup at a time; the second one waits for the first.
    Deployment(
        "flows.backup_database.backup_database",
        ROUTINE_POOL,
        QUEUED,
        {"full": {"kind": "full"}, "incremental": {"kind": "incr"}},
    ),
    Deployment("flows.backup_files.backup_files", ROUTINE_POOL, QUEUED),
    Deployment("flows.restore_files.restore_files", ROUTINE_POOL, QUEUED),
