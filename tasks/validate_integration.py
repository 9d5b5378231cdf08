"""Validate the service's business workflow. Source: the seed's "Recovery Validation", integration tests."""

import time
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients.probes import probe
from tasks.facts.validation import CheckResult, Subject
from tasks.plan.plan import Plan
from tasks.suites import examine, fresh_words, in_order, own_checks


@task(name="validate: integration tests", cache_policy=NO_CACHE)
def validate_integration(plan: Plan, subject: Subject) -> tuple[CheckResult, ...]:
    """Go through the plan's workflow from end to end, then make its own integration checks."""
    end = time.monotonic() + plan.validation.deadline.total_seconds()
    words = fresh_words(subject.site)
    steps = {
        f"workflow: {step.name}": partial(probe, plan, subject.site, step, words)
        for step in plan.validation.workflow
    }
    went = in_order("integration", steps, end - time.monotonic())
    own = own_checks(plan, subject.site, "integration")
    return *went, *examine("integration", own, max(0.0, end - time.monotonic()))
