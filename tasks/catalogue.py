"""Publish what can be restored, from where, to when."""

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks import inventory
from tasks.errors import Permanent
from tasks.facts.catalogue import Catalogue
from tasks.plan.plan import Plan
from tasks.policy.catalogue_words import catalogue_markdown
from tasks.policy.tables import moment


@task(name="list every recoverable point", cache_policy=NO_CACHE)
def collect_catalogue(plan: Plan) -> Catalogue:
    """Ask every site what it holds; a store that does not answer is a finding."""
    return inventory.catalogue(plan)


@task(name="publish the catalogue", cache_policy=NO_CACHE)
def publish_catalogue(found: Catalogue) -> None:
    """Show the catalogue, and fail the run where a finding is critical or unknown.

    Raises:
        Permanent: something is not recoverable as the plan promises, or nobody knows.
    """
    create_markdown_artifact(
        key="catalogue-backups",
        markdown=catalogue_markdown(found),
        description=f"backups at {moment(found.at)} UTC",
    )
    red = [finding for finding in found.findings() if finding.red]
    if red:
        detail = "; ".join(f"{each.name}: {each.detail}" for each in red)
        raise Permanent("not everything is recoverable as planned", detail, red[0].hint)
