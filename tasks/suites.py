"""A suite's checks, run: each ends in a result, and none holds the suite up beyond its deadline."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from uuid import uuid4

from tasks.clients.parallel import ask_all
from tasks.clients.probes import Words, probe
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.validation import CheckResult, Outcome
from tasks.plan.plan import Plan
from tasks.plan.validation import Suite

Job = Callable[[], str]
"""A check: what it saw; it raises Permanent where that is wrong, and Transient where it cannot tell."""


def examine(suite: Suite, jobs: Mapping[str, Job], deadline_s: float) -> tuple[CheckResult, ...]:
    """Run checks at once.

    Args:
        suite: the suite they belong to.
        jobs: the checks by name.
        deadline_s: seconds for all of them; one that takes longer is unknown.
    """
    answers = ask_all({name: partial(_result, suite, name, job) for name, job in jobs.items()}, deadline_s)
    return tuple(
        _told(suite, name, answer, deadline_s) if isinstance(answer, DrError) else answer
        for name, answer in answers.items()
    )


def in_order(suite: Suite, jobs: Mapping[str, Job], deadline_s: float) -> tuple[CheckResult, ...]:
    """Run checks one after another; what follows one that did not pass is unknown.

    Args:
        suite: the suite they belong to.
        jobs: the checks by name, in their order.
        deadline_s: seconds for all of them.
    """
    results: list[CheckResult] = []
    end = time.monotonic() + deadline_s
    for name, job in jobs.items():
        stopped = next((each.name for each in results if each.outcome != "passed"), None)
        if stopped is None:
            results += examine(suite, {name: job}, max(0.0, end - time.monotonic()))
        else:
            detail = f"not reached: {stopped} did not pass"
            results.append(CheckResult(suite=suite, name=name, outcome="unknown", detail=detail, seconds=0))
    return tuple(results)


def own_checks(plan: Plan, site: str, suite: Suite) -> dict[str, Job]:
    """The plan's own checks of a suite."""
    words = fresh_words(site)
    checks = plan.validation.checks.items()
    return {name: partial(probe, plan, site, check, words) for name, check in checks if check.suite == suite}


def fresh_words(site: str) -> Words:
    """What stands for `{id}` and `{site}` in one run."""
    return {"id": str(uuid4()), "site": site}


def _result(suite: Suite, name: str, job: Job) -> CheckResult:
    began = time.monotonic()
    try:
        seen = job()
    except DrError as error:
        return _told(suite, name, error, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 -- a check that broke told nothing
        return _told(suite, name, Transient("the check broke", repr(error)[:300]), time.monotonic() - began)
    return CheckResult(
        suite=suite, name=name, outcome="passed", detail=seen, seconds=time.monotonic() - began
    )


def _told(suite: Suite, name: str, error: DrError, seconds: float) -> CheckResult:
    outcome: Outcome = "failed" if isinstance(error, Permanent) else "unknown"
    detail = error.seen
    return CheckResult(suite=suite, name=name, outcome=outcome, detail=detail, seconds=seconds)
