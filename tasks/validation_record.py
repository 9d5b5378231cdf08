"""The record of a validation: in the incident's journal, and as a page in the UI."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact

from tasks.clients import journal, records
from tasks.errors import Permanent, Refused
from tasks.facts.validation import CheckResult, Subject, Validated
from tasks.plan.plan import Plan
from tasks.plan.validation import Suite
from tasks.policy.validation import not_passed, validation_markdown, verdict
from tasks.retry import retried

_FOLDER = "validation/sites"


def subject_of_site(plan: Plan, site: str) -> Subject:
    """A site that is validated without an incident.

    Raises:
        Refused: the plan has no such site, or it never serves users.
    """
    serving = [name for name, each in plan.sites.items() if each.running("gateway")]
    if site not in serving:
        raise Refused(f"{site} is no site that serves users", hint=f"one of: {', '.join(serving)}")
    return Subject(site=site)


@retried("publish the validation", delay=2)
def publish_validation(
    plan: Plan, subject: Subject, suites: Sequence[Suite], results: Iterable[CheckResult]
) -> Validated:
    """Keep what was found, show it, and fail the run where not everything passed.

    Raises:
        Permanent: a check failed, or one could not be told.
        Transient: no store takes the record.
    """
    checks = tuple(results)
    found = Validated(
        subject=subject,
        at=datetime.now(UTC),
        suites=tuple(suites),
        verdict=verdict(suites, checks),
        checks=checks,
    )
    _keep(plan, found)
    create_markdown_artifact(key="recovery-validation", markdown=validation_markdown(found))
    if found.verdict != "passed":
        wrong = "; ".join(not_passed(found))
        raise Permanent(f"{subject.site} is not validated: {found.verdict}", wrong, "see recovery-validation")
    return found


def _keep(plan: Plan, found: Validated) -> None:
    text, stamp = found.model_dump_json(indent=2), f"{found.at:%Y%m%dT%H%M%S.%fZ}"
    subject = found.subject
    if subject.incident:
        journal.write(plan, subject.failed_site, subject.incident, f"validation/{stamp}.json", text)
    else:
        records.write(plan, f"{_FOLDER}/{subject.site}/{stamp}.json", text)
