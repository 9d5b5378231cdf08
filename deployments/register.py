"""What Prefect runs, and when: every flow as a deployment, its schedules taken from the plan."""

import sys
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
from infra.control import DRILL_TAG, RECOVERY_POOL, ROUTINE_POOL
from tasks.plan.plan import NamedSchedule, Plan

# On every deployment that is ours, so that `register` knows which ones to remove.
OWNER_TAG = "naas-dr"
REFUSED, QUEUED = ConcurrencyLimitStrategy.CANCEL_NEW, ConcurrencyLimitStrategy.ENQUEUE


@dataclass(frozen=True)
class Deployment:
    """One flow as Prefect runs it: never two runs of it at once, unless it says so.

    Attributes:
        entrypoint: the flow, as `package.module.function`.
        pool: whose worker runs it; the recovery pool's deployments are also the warm runner's.
        collision: what becomes of a run that is started while another one runs.
        variants: the flow's parameters for each variant that the plan schedules.
        limit: how many runs at once; None for any number.
    """

    entrypoint: str
    pool: str
    collision: ConcurrencyLimitStrategy
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limit: int | None = 1

    @property
    def function(self) -> str:
        """The flow's function, which is its name in the plan's schedules."""
        return self.entrypoint.rpartition(".")[2]

    @property
    def tags(self) -> list[str]:
        """What its runs are told apart by."""
        return [OWNER_TAG, self.pool, *([DRILL_TAG] if self.function.startswith("drill_") else [])]

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


def _routine(
    name: str,
    collision: ConcurrencyLimitStrategy = QUEUED,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> Deployment:
    return Deployment(f"flows.{name}.{name}", ROUTINE_POOL, collision, variants or {})


def _urgent(name: str, collision: ConcurrencyLimitStrategy = QUEUED) -> Deployment:
    return Deployment(f"flows.{name}.{name}", RECOVERY_POOL, collision)


DEPLOYMENTS = (
    # pgBackRest takes one backup at a time; the second one waits for the first.
    _routine("backup_database", variants={"full": {"kind": "full"}, "incremental": {"kind": "incr"}}),
    _routine("backup_files"),
    _routine("backup_redis"),
    _routine("backup_configuration"),
    _routine("backup_secrets"),
    _routine("check_wal_archiving", REFUSED),
    _routine("check_drift", REFUSED),
    _routine("replicate_backups", REFUSED),
    _routine("compare_backups", REFUSED),
    _routine("verify_backups", REFUSED),
    _routine("keep_long_term", REFUSED),
    _routine("catalogue_backups", REFUSED),
    _routine("drill_backup_restoration", REFUSED, {"": {"reason": "the plan's schedule"}}),
    _routine("drill_failover_testing", REFUSED, {"": {"reason": "the plan's schedule"}}),
    # It moves production, as a recovery does.
    Deployment(
        "flows.drill_full_failover.drill_full_failover",
        RECOVERY_POOL,
        REFUSED,
        {"": {"reason": "the plan's schedule"}},
    ),
    Deployment(
        "flows.drill_full_dr_exercise.drill_full_dr_exercise",
        RECOVERY_POOL,
        REFUSED,
        {"": {"reason": "the plan's schedule"}},
    ),
    # Many people answer at once.
    Deployment("flows.answer_drill.answer_drill", RECOVERY_POOL, QUEUED, limit=None),
    _routine("abort_drill"),
    _routine("sweep_drills", REFUSED),
    _routine("evaluate_readiness", REFUSED),
    _routine("seal_reports", REFUSED),
    _routine("review_objectives", REFUSED),
    # Whoever starts it by hand is shown what would go; only the schedule removes anything unasked.
    _routine("expire_backups", REFUSED, {"": {"dry_run": False}}),
    _urgent("restore_database"),
    _urgent("restore_files"),
    _urgent("restore_redis"),
    _urgent("restore_configuration"),
    _urgent("restore_secrets"),
    _urgent("fail_over", REFUSED),
    _urgent("recover_cold", REFUSED),
    _urgent("restore_point_in_time"),
    _urgent("validate_recovery"),
    _routine("record_baseline", REFUSED),
    _urgent("bring_back", REFUSED),
    _urgent("switch_over", REFUSED),
    _urgent("fail_back", REFUSED),
    # Several may wait for their commanders at once; the epoch lets one recovery act.
    Deployment("flows.respond.respond", RECOVERY_POOL, REFUSED, limit=None),
    _urgent("abort_incident"),
    _urgent("inform", REFUSED),
    # Many people answer at once.
    Deployment("flows.discharge_duty.discharge_duty", RECOVERY_POOL, QUEUED, limit=None),
)


def recovery_modules() -> list[str]:
    """The modules that the warm runner imports ahead of time."""
    urgent = (item for item in DEPLOYMENTS if item.pool == RECOVERY_POOL)
    return [item.entrypoint.rpartition(".")[0] for item in urgent]


def tags_of(entrypoint: str) -> list[str]:
    """The tags of a flow's runs; none where it has no deployment."""
    return next((item.tags for item in DEPLOYMENTS if item.entrypoint == entrypoint), [])


def register(plan: Plan, deployments: Sequence[Deployment] = DEPLOYMENTS) -> None:
    """Make Prefect's deployments exactly these; the same again changes nothing.

    Args:
        plan: where the schedules come from.
        deployments: all of ours; any other deployment with our tag is removed.

    Raises:
        httpx.HTTPError: the Prefect server does not answer or refuses.
    """
    with get_client(sync_client=True) as client:
        for pool in sorted({item.pool for item in deployments}):
            _ensure_pool(client, pool)
        kept = {_create(client, item, plan) for item in deployments}
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OWNER_TAG]))
        for found in client.read_deployments(deployment_filter=ours):
            if found.id not in kept:
                client.delete_deployment(found.id)
        register_automations(client)


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:
        return


def _create(client: SyncPrefectClient, item: Deployment, plan: Plan) -> Any:
    flow: Flow[..., Any] = load_flow_from_entrypoint(item.entrypoint, use_placeholder_flow=False)
    return client.create_deployment(
        flow_id=client.create_flow(flow),
        name=flow.name,
        entrypoint=item.entrypoint,
        description=flow.description,
        # A misspelt parameter is refused when the run is asked for, not when it has started.
        parameter_openapi_schema={**parameter_schema(flow).model_dump(), "additionalProperties": False},
        enforce_parameter_schema=True,
        work_pool_name=item.pool,
        tags=item.tags,
        job_variables={"command": f"{sys.executable} -m deployments.engine {item.pool}"},
        schedules=item.schedules(plan.schedules()),
        concurrency_limit=item.limit,
        concurrency_options=ConcurrencyOptions(collision_strategy=item.collision) if item.limit else None,
    )
