"""From results to a verdict, and from a measurement to a finding. Pure."""

import statistics
from collections.abc import Collection, Iterable, Sequence

from tasks.errors import Refused
from tasks.facts.validation import Baseline, CheckResult, Pace, Validated, Verdict
from tasks.plan.validation import Performance, Suite
from tasks.policy.tables import moment, table

SUITES: tuple[Suite, ...] = ("smoke", "integration", "performance", "security")


def chosen_suites(wanted: Sequence[Suite] | None) -> tuple[Suite, ...]:
    """The suites to run, each once, in their order; all of them where none is named.

    Raises:
        Refused: an empty choice, which would prove nothing.
    """
    if wanted is not None and not wanted:
        raise Refused("no suite is chosen", hint=f"some of: {', '.join(SUITES)}")
    return tuple(suite for suite in SUITES if wanted is None or suite in wanted)


def verdict(suites: Collection[Suite], checks: Iterable[CheckResult]) -> Verdict:
    """Passed only where every suite has checks and each of them passed; unknown is not passed."""
    found = list(checks)
    outcomes = {check.outcome for check in found}
    if "failed" in outcomes:
        return "failed"
    silent = set(suites) - {check.suite for check in found}
    return "unknown" if "unknown" in outcomes or silent or not suites else "passed"


def not_passed(validated: Validated) -> list[str]:
    """Every check that did not pass, and every suite that checked nothing, each in a line."""
    silent = [suite for suite in validated.suites if all(check.suite != suite for check in validated.checks)]
    return [
        *(f"{c.suite}: {c.name}: {c.outcome}: {c.detail}" for c in validated.checks if c.outcome != "passed"),
        *(f"{suite}: nothing was checked" for suite in silent),
    ]


def validation_markdown(validated: Validated) -> str:
    """The record of a validation as one page."""
    subject = validated.subject
    about = f"{subject.site}, {moment(validated.at)} UTC, " + (subject.incident or "without an incident")
    rows = [
        (check.suite, check.name, check.outcome, check.detail, f"{check.seconds:.2f} s")
        for check in validated.checks
    ]
    wrong = [f"- {line}" for line in not_passed(validated)]
    head = ("suite", "check", "outcome", "seen", "took")
    return "\n".join([f"# Validation: {validated.verdict}", "", about, "", *wrong, "", table(head, rows)])


def paced(path: str, concurrency: int, times: Sequence[float], errors: int, seconds: float) -> Pace:
    """A measurement summed up.

    Args:
        path: what was read.
        concurrency: how many asked at once.
        times: the seconds of each good answer.
        errors: how many requests failed.
        seconds: how long all of them took.
    """
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else [*times] * 99
    p50, p95 = (cuts[49] * 1000, cuts[94] * 1000) if cuts else (0.0, 0.0)
    return Pace(
        path=path,
        concurrency=concurrency,
        requests=len(times) + errors,
        errors=errors,
        seconds=seconds,
        p50_ms=p50,
        p95_ms=p95,
    )


def comparable(pace: Pace, baseline: Baseline) -> bool:
    """Whether both asked for the same in the same way."""
    return (pace.path, pace.concurrency) == (baseline.pace.path, baseline.pace.concurrency)


def slower(pace: Pace, before: Pace, limits: Performance) -> list[str]:
    """Where a service is slower than it may be."""
    found = [f"{pace.errors} of {pace.requests} requests failed"] if pace.errors else []
    for name, now, then in (("p50", pace.p50_ms, before.p50_ms), ("p95", pace.p95_ms, before.p95_ms)):
        if now > then * limits.max_latency_ratio:
            found.append(f"{name} {now:.1f} ms, over {limits.max_latency_ratio:g} times {then:.1f} ms")
    if pace.throughput < before.throughput * limits.min_throughput_ratio:
        part = f"{limits.min_throughput_ratio:g} of {before.throughput:.0f}"
        found.append(f"{pace.throughput:.0f} requests a second, under {part}")
    return found


def pace_words(pace: Pace) -> str:
    """A measurement in words."""
    return f"p50 {pace.p50_ms:.1f} ms, p95 {pace.p95_ms:.1f} ms, {pace.throughput:.0f} requests a second"
