"""Validate how fast users are answered. Source: the seed's "Recovery Validation", performance tests."""

from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import ValidationError

from tasks.clients import records, service
from tasks.clients.pace import measure
from tasks.clients.truth import read_truth
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.validation import Baseline, CheckResult, Pace, Subject
from tasks.plan.plan import Plan
from tasks.policy.validation import comparable, pace_words, paced, slower
from tasks.retry import retried
from tasks.suites import examine, own_checks

_BASELINE = "validation/baseline.json"
_ROUNDS = 3


@task(name="validate: performance tests", cache_policy=NO_CACHE)
def validate_performance(plan: Plan, subject: Subject) -> tuple[CheckResult, ...]:
    """Hold the pace against the recorded baseline, alone; then make the plan's own performance checks."""
    deadline_s = plan.validation.deadline.total_seconds()
    held = examine("performance", {"pace against the baseline": lambda: _held_pace(plan)}, deadline_s)
    own = own_checks(plan, subject.site, "performance")
    return *held, *examine("performance", own, deadline_s)


@retried("record the baseline", delay=2)
def record_pace(plan: Plan) -> Baseline:
    """Measure the pace of the healthy active site and keep it at every site.

    Raises:
        Refused: an incident is open: what is measured now is not the service as it should be.
        Permanent: the active site does not serve the users, or requests failed.
        Transient: etcd, the service or every store does not answer.
    """
    truth, _ = read_truth(plan)
    if not truth.done:
        raise Refused(
            "an incident is open", truth.incident, "record the baseline when the service is healthy"
        )
    served_by = service.round_trip(plan, plan.service.endpoint.url)
    if served_by != truth.active:
        raise Permanent(f"users are served by {served_by}", f"the active site is {truth.active}")
    # Of several rounds the middle one: neither a lucky nor an unlucky moment is the measure of a disaster.
    rounds = sorted((_pace(plan) for _ in range(_ROUNDS)), key=lambda pace: pace.p95_ms)
    pace = rounds[_ROUNDS // 2]
    if any(each.errors for each in rounds):
        raise Permanent("requests failed while the baseline was measured", pace_words(pace))
    baseline = Baseline(site=truth.active, at=datetime.now(UTC), pace=pace)
    records.write(plan, _BASELINE, baseline.model_dump_json(indent=2))
    create_markdown_artifact(key="performance-baseline", markdown=f"{truth.active}: {pace_words(pace)}")
    return baseline


def _held_pace(plan: Plan) -> str:
    baseline, pace = _baseline(plan), _pace(plan)
    if not comparable(pace, baseline):
        asked = f"{baseline.pace.path} by {baseline.pace.concurrency} clients"
        raise Transient("the baseline was of another probe", asked, "record it again")
    if found := slower(pace, baseline.pace, plan.validation.performance):
        raise Permanent("the service is slower than it may be", "; ".join(found))
    return f"{pace_words(pace)}; healthy was {pace_words(baseline.pace)}"


def _baseline(plan: Plan) -> Baseline:
    text = records.read(plan, _BASELINE)
    hint = "`dr run record-baseline` while the service is healthy"
    if text is None:
        raise Transient("no baseline is recorded", "there is nothing to compare with", hint)
    try:
        return Baseline.model_validate_json(text)
    except ValidationError as error:
        raise Transient("the recorded baseline cannot be read", str(error)[:300], hint) from error


def _pace(plan: Plan) -> Pace:
    wanted = plan.validation.performance
    path = wanted.path or plan.high_availability.failover.health_checks[0].endpoint
    url, limit_s = plan.service.endpoint.url + path, wanted.limit.total_seconds()
    measure(url, requests=2 * wanted.concurrency, concurrency=wanted.concurrency, limit=limit_s)
    found = measure(url, requests=wanted.requests, concurrency=wanted.concurrency, limit=limit_s)
    return paced(path, wanted.concurrency, *found)
