"""Acknowledged writes that the active database lacks, each told by the incident that lost it."""

import json
from itertools import takewhile

from tasks.clients import journal, ledger, patroni
from tasks.facts.incident import Incident
from tasks.facts.loss import LedgerCount
from tasks.plan.plan import Plan

_RECORD = "missing.json"


def count_missing(plan: Plan, incident: Incident) -> LedgerCount | None:
    """Count by the clients' ledger, and keep which are missing: no later incident lost them.

    None where the plan names no ledger, or nothing was written yet.

    Raises:
        Transient: no node or no store answers.
    """
    times = ledger.acknowledged_at(plan)
    if times is None:
        return None
    missing = ledger.missing(plan, patroni.leader(plan, incident.to_site).host, set(times))
    journal.write(plan, incident.failed_site, incident.id, _RECORD, json.dumps(sorted(missing)))
    before = missing & _known_before(plan, incident)
    lost_at = [times[each] for each in missing - before] or [0.0]
    return LedgerCount(
        acknowledged=len(times),
        missing=len(missing),
        before=len(before),
        lost_seconds=round(max(lost_at) - min(lost_at), 3),
    )


def _known_before(plan: Plan, incident: Incident) -> set[str]:
    earlier = takewhile(lambda each: each != incident.id, journal.incidents(plan, having=_RECORD))
    kept = (journal.read(plan, each, _RECORD, incident.failed_site) for each in earlier)
    return {each for record in kept if record for each in json.loads(record)}
