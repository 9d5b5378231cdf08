"""What the service achieved against its tier, from the evidence of its incidents."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.evidence import read_reports, unended_since
from tasks.facts.objectives import Achieved, Forecast
from tasks.plan.plan import Plan
from tasks.policy.objectives import achieved, forecast
from tasks.policy.objectives_words import objectives_markdown
from tasks.retry import retried


@retried("measure the objectives")
def measure_objectives(plan: Plan, days: int) -> tuple[Achieved, Forecast | None]:
    """What was achieved in the last days, and how long restores will take.

    Raises:
        Transient: no store answers.
    """
    now, reports = datetime.now(UTC), read_reports(plan)
    restores = [
        (each.detected_at, each.restored.bytes, each.restored.restore_s + each.restored.recover_s)
        for each in reports
        if each.restored
    ]
    unended = len(unended_since(plan, now - timedelta(days=days)))
    found = achieved(plan.service, plan.tier, reports, now - timedelta(days=days), now, unended)
    return found, forecast(restores, plan.tier.rto)


@task(name="publish the objectives", cache_policy=NO_CACHE)
def publish_objectives(found: Achieved, restores: Forecast | None) -> None:
    """Show them."""
    missed: Sequence[str] = [each.name for each in found.objectives if each.met is False]
    create_markdown_artifact(
        key="objectives",
        markdown=objectives_markdown(found, restores),
        description=f"missed: {', '.join(missed)}" if missed else "nothing missed",
    )
