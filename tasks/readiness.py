"""Judge whether the service could be recovered now, show it, and keep it for whoever watches."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.errors import DrError, Permanent
from tasks.facts.archive import Finding
from tasks.facts.readiness import Readiness
from tasks.plan.plan import Plan
from tasks.policy.readiness import judge_readiness, nothing_seen
from tasks.policy.readiness_words import readiness_markdown
from tasks.readiness_record import keep_readiness
from tasks.readiness_sights import look_around


@task(name="judge readiness", cache_policy=NO_CACHE)
def judge(plan: Plan, drift: Sequence[Finding] | DrError) -> Readiness:
    """Look at everything that a recovery would need, and judge it; what cannot be told is not ready.

    Args:
        plan: what should be there.
        drift: what the servers run that is not what the plan says.
    """
    try:
        return judge_readiness(plan, look_around(plan, drift))
    except DrError as error:
        return nothing_seen(plan, datetime.now(UTC), error)


@task(name="publish readiness", cache_policy=NO_CACHE)
def publish_readiness(plan: Plan, found: Readiness) -> None:
    """Show every answer, keep it, and fail the run where the service could not be recovered now.

    Raises:
        Permanent: it is not ready.
        Transient: no store takes the record.
    """
    create_markdown_artifact(key="readiness", markdown=readiness_markdown(found), description=found.standing)
    try:
        keep_readiness(plan, found)
    except DrError:
        # What was found matters more than where it is kept.
        if found.standing != "NOT READY":
            raise
    if found.standing == "NOT READY":
        told = "; ".join(f"{each.name}: {each.detail}" for each in found.reasons if each.red)
        raise Permanent(f"{found.service} is NOT READY", told, found.reasons[0].hint)
