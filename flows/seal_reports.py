"""Seal the reports of incidents and rehearsals. Source: the seed's "Test Results Documentation"."""

from prefect import flow

from tasks.current import current_plan
from tasks.facts.sealed import Seal
from tasks.seal import check_evidence
from tasks.seal import seal_reports as seal


@flow(persist_result=False)
def seal_reports() -> list[Seal]:
    """Sign and lock every report that is new or was completed, then verify the whole chain.

    No recovery waits for this: a report is sealed once the archive site's store takes it.

    Returns:
        the seals that were added.
    """
    plan = current_plan()
    added = seal(plan)
    check_evidence(plan)
    return added
