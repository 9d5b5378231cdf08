"""The evidence of an expiry: what went, why, and by which run; written before anything goes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import TypeAdapter

from tasks.clients import records
from tasks.errors import Permanent
from tasks.facts.expiry import Decision, Evidence, Outcome
from tasks.plan.plan import Plan
from tasks.policy.tables import moment, table
from tasks.retry import retried

_FOLDER = "evidence/expiry"
_JSON = TypeAdapter(Evidence)


@retried("write down what is to be removed", delay=2)
def begin_evidence(
    plan: Plan, now: datetime, decisions: Sequence[Decision], *, dry_run: bool, force: bool
) -> Evidence:
    """Keep the decisions at every site, before the first of them is carried out.

    Raises:
        Transient: no store takes it: then nothing is removed.
    """
    run = f"{flow_run.get_id()} {flow_run.get_name()}"
    outcomes = tuple(Outcome(each) for each in decisions)
    evidence = Evidence(run, datetime.now(UTC), now, dry_run, force, outcomes)
    _write(plan, evidence)
    return evidence


@retried("write the evidence", delay=2)
def end_evidence(plan: Plan, begun: Evidence, outcomes: Sequence[Outcome]) -> Evidence:
    """Keep what was done, in the place of what was to be done.

    Raises:
        Transient: no store takes it.
    """
    evidence = replace(begun, outcomes=tuple(outcomes), ended=datetime.now(UTC))
    _write(plan, evidence)
    return evidence


@task(name="publish what was removed", cache_policy=NO_CACHE)
def publish_expiry(evidence: Evidence) -> None:
    """Show what went, and fail the run where an asset is not as its retention says.

    Raises:
        Permanent: an asset was left alone, or a removal failed.
    """
    gone = [point for each in evidence.outcomes if not each.error for point in each.decision.remove]
    rows = ((point.asset, point.site, point.name, moment(point.at)) for point in gone)
    wrong = [each.wrong for each in evidence.outcomes if each.wrong]
    verb = "would be removed (dry run)" if evidence.dry_run else "removed"
    parts = [f"# {len(gone)} points {verb}", *(f"- {line}" for line in wrong), ""]
    shown = "\n".join([*parts, table(("asset", "site", "point", "taken"), rows)])
    create_markdown_artifact(key="expired-backups", markdown=shown)
    if wrong:
        raise Permanent("not every asset is as its retention says", "; ".join(wrong), "see the artifacts")


def _write(plan: Plan, evidence: Evidence) -> None:
    records.write(plan, f"{_FOLDER}/{evidence.at:%Y%m%dT%H%M%SZ}.json", _JSON.dump_json(evidence, indent=2))
