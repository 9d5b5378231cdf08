"""Record how fast the healthy service is. Source: the seed's "Recovery Validation", performance tests."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.validation import Baseline
from tasks.validate_performance import record_pace


@flow(persist_result=False)
def record_baseline() -> Baseline:
    """Measure the active site through the public endpoint; recoveries are held against it.

    Returns:
        what was measured.
    """
    return record_pace(current_plan())
