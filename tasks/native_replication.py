"""S3's own replication, where the plan names a role for it: configured and verified before the pull heals.

Source: seed, "Cross-Region Backup Replication".
"""

from collections.abc import Iterable, Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients.native_replication import check_native_replication, ensure_native_replication
from tasks.errors import DrError
from tasks.facts.archive import Finding
from tasks.plan.plan import Plan
from tasks.policy.replication import Pull


def native_pulls(plan: Plan, pulls: Iterable[Pull]) -> tuple[Pull, ...]:
    """Those of the copies, each once, that S3 makes itself, because the plan names a role at their source."""
    return tuple(pull for pull in dict.fromkeys(pulls) if plan.sites[pull.source].storage.native_replication)


@task(
    name="let S3 replicate",
    task_run_name="let S3 replicate {pull.source} to {pull.target}",
    cache_policy=NO_CACHE,
)
def replicate_natively(plan: Plan, pull: Pull) -> tuple[Finding, ...]:
    """Configure a native replication where it is not what the plan says, and verify it.

    It never fails: the pull that follows copies what S3 does not, so a problem is a warning, by name.
    """
    name = f"native replication {pull.source} to {pull.target}"
    try:
        ensure_native_replication(plan, pull.source, pull.target)
        problems = check_native_replication(plan, pull.source, pull.target)
    except DrError as error:
        return (Finding(name, "warning", f"{error.message}: {error.detail}", error.hint),)
    found = tuple(Finding(f"{name}: {what}", "warning", how, "the pull heals it") for what, how in problems)
    return found or (Finding(name, "ok", "its rule, both versionings and the newest objects are good"),)


def publish_native(found: Sequence[Finding]) -> None:
    """Show what S3's own replication does, where there is any."""
    if not found:
        return
    rows = [f"|{each.name}|{each.severity}|{each.detail}|{each.hint}|" for each in found]
    head = "|what|severity|seen|next|\n|-|-|-|-|"
    create_markdown_artifact(key="native-replication", markdown="\n".join([head, *rows]))
