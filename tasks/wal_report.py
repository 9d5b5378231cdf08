"""Judge what was seen of WAL archiving, show it, and keep its numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import TypeAdapter, ValidationError

from tasks.clients import records
from tasks.clients.objects import Bucket
from tasks.clients.telemetry.threads import Threads
from tasks.errors import DrError, Permanent
from tasks.facts.archive import (
    ArchiveFacts,
    ArchiveLimits,
    ArchiveNumbers,
    Finding,
    SiteNumbers,
)
from tasks.facts.archiver import Growth, PrimarySight
from tasks.plan.plan import Plan
from tasks.policy import archive, archiver
from tasks.policy.lineage import ahead_of
from tasks.wal_limits import limits_of

_STORE_S = 4.0
RECORD = "status/wal.json"
_NUMBERS = TypeAdapter(ArchiveNumbers)
Archives = Mapping[str, ArchiveFacts | DrError]
Findings = dict[str, tuple[Finding, ...]]


def last_numbers(plan: Plan, sites: Iterable[str] | None = None) -> ArchiveNumbers | None:
    """The numbers of the last check, from whichever stores answer; None where none has any.

    Args:
        plan: the plan.
        sites: whose stores are asked; all where None.
    """
    asked = list(plan.sites if sites is None else sites)
    with Threads(len(plan.sites)) as pool:
        found = [each for each in pool.map(lambda site: _kept_at(plan, site), asked) if each]
    return max(found, key=lambda each: each.at, default=None)


@task(name="judge the WAL archives", cache_policy=NO_CACHE)
def judge(
    plan: Plan, archives: Archives, before: PrimarySight, after: PrimarySight
) -> tuple[Findings, ArchiveNumbers]:
    """Hold every site's archive and the primary's archiver against what they should be.

    Args:
        plan: what it tolerates.
        archives: every site's archive.
        before: the primary before they were listed.
        after: the primary after that.

    Returns:
        the findings by site, those on the primary under "primary"; and the numbers.
    """
    limits = limits_of(plan)
    last = last_numbers(plan, [site for site, each in archives.items() if isinstance(each, ArchiveFacts)])
    seen = {site: _told_ahead(each, after) for site, each in archives.items()}
    found: Findings = {site: _judge_site(each, limits, before) for site, each in seen.items()}
    active = seen.get(before.site)
    growth = _growth(before, after, last)
    found["primary"] = _judge_primary(
        limits, before, after, active if isinstance(active, ArchiveFacts) else None, growth, last
    )
    return found, _numbers(limits, seen, found, before, after, growth)


@task(name="publish the findings", cache_policy=NO_CACHE)
def publish_findings(plan: Plan, found: Findings, numbers: ArchiveNumbers) -> None:
    """Show every finding and number, keep the numbers, and fail the run where a finding is red.

    Raises:
        Permanent: WAL archiving is not proven to work.
        Transient: no store takes the numbers.
    """
    tables = [_findings_table(found), _numbers_table(numbers)]
    create_markdown_artifact(key="check-wal-archiving", markdown="\n\n".join(tables))
    red = [(site, each) for site, findings in found.items() for each in findings if each.red]
    try:
        records.write(plan, RECORD, _NUMBERS.dump_json(numbers))
    except DrError:
        # What was found matters more than where it is kept.
        if not red:
            raise
    if red:
        detail = "; ".join(f"{site}: {each.name}: {each.detail}" for site, each in red)
        raise Permanent("WAL archiving is not proven to work", detail, red[0][1].hint)


def _kept_at(plan: Plan, site: str) -> ArchiveNumbers | None:
    try:
        return _NUMBERS.validate_json(Bucket.readable(plan, site, _STORE_S).get(RECORD))
    except (DrError, ValidationError):
        return None


def _judge_site(
    seen: ArchiveFacts | DrError, limits: ArchiveLimits, before: PrimarySight
) -> tuple[Finding, ...]:
    if isinstance(seen, DrError):
        return archive.unreachable(f"{seen.message}: {seen.detail}", seen.hint)
    return archive.judge_archive(seen, limits, before.archiver)


def _judge_primary(  # noqa: PLR0913 -- everything that was seen of it
    limits: ArchiveLimits,
    before: PrimarySight,
    after: PrimarySight,
    active: ArchiveFacts | None,
    growth: Growth | None,
    last: ArchiveNumbers | None,
) -> tuple[Finding, ...]:
    return (
        archiver.command(before.archiver, before.planned),
        archiver.stored(before.archiver, active),
        archiver.bucket(before, active),
        archiver.system(before.primary, before.repository),
        archiver.failures(before.archiver, after.archiver, active, last),
        archiver.backlog(before.archiver, after.archiver, limits),
        archiver.disk(growth, before.archiver, after.archiver, limits),
    )


def _told_ahead(seen: ArchiveFacts | DrError, after: PrimarySight) -> ArchiveFacts | DrError:
    """WAL beyond the primary, by its position after the listing: it went on meanwhile."""
    if isinstance(seen, DrError) or after.primary is None:
        return seen
    return replace(seen, ahead=ahead_of(after.primary, seen.held))


def _growth(before: PrimarySight, after: PrimarySight, last: ArchiveNumbers | None) -> Growth | None:
    if before.primary is None or after.primary is None:
        return None
    looks = (before.primary, before.at), (after.primary, after.at)
    return archiver.growth(*looks, before.free, last)


def _numbers(  # noqa: PLR0913 -- everything that was seen
    limits: ArchiveLimits,
    seen: Archives,
    found: Findings,
    before: PrimarySight,
    after: PrimarySight,
    growth: Growth | None,
) -> ArchiveNumbers:
    primary, told = after.primary, after.archiver
    return ArchiveNumbers(
        at=after.at,
        active=before.site,
        sites={
            site: archive.numbers(each, limits, before.archiver)
            if isinstance(each, ArchiveFacts)
            else SiteNumbers()
            for site, each in seen.items()
        },
        findings={site: {each.name: each.severity for each in findings} for site, findings in found.items()},
        system=primary.system if primary else 0,
        timeline=primary.timeline if primary else 0,
        lsn=primary.lsn if primary else 0,
        waiting=told.waiting if told else None,
        failed_count=told.failed_count if told else None,
        free_bytes=before.free,
        full_in_s=growth.full_in_s if growth else None,
    )


def _findings_table(found: Mapping[str, Sequence[Finding]]) -> str:
    rows = [
        f"|{site}|{each.name}|{each.severity}|{each.detail}|{each.hint}|"
        for site, findings in found.items()
        for each in findings
    ]
    return "\n".join(["|site|check|severity|seen|next|\n|-|-|-|-|-|", *rows])


def _numbers_table(numbers: ArchiveNumbers) -> str:
    rows = [
        f"|{site}|{each.archived_lsn or ''}|"
        f"{_shown(each.behind_bytes)}|{_shown(each.behind_s)}|{_shown(each.segments)}|"
        for site, each in numbers.sites.items()
    ]
    primary = (
        f"{_shown(numbers.waiting)} wait, {_shown(numbers.failed_count)} failures, "
        f"{_shown(numbers.free_bytes)} bytes free, full in {_shown(numbers.full_in_s)} s if none is archived"
    )
    head = "|site|archived to|bytes behind|seconds behind|segments|\n|-|-|-|-|-|"
    return "\n".join([head, *rows, "", primary])


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"
