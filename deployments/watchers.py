"""What the exporter measures of the watching itself: vantages, schedules, and what people were told."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from deployments.measures import Measure, Samples
from deployments.trigger import Api
from tasks.clients import journal, pgbouncer
from tasks.clients.parallel import ask_all
from tasks.errors import DrError
from tasks.evidence import read_deliveries
from tasks.facts.communication import Delivery
from tasks.incidents import OnRecord, on_record
from tasks.plan.plan import Plan
from tasks.watching import last_told

_POOLS_S = 5.0
_WAITING = {"type": {"any_": ["SCHEDULED"]}}
# Behind another run of the same flow: a worker has taken it.
_IN_TURN = {"name": {"not_any_": ["AwaitingConcurrencySlot"]}}


def looked(plan: Plan) -> Samples:
    """When each vantage last looked; nothing of one that never did."""
    found = last_told(plan).items()
    return {
        "dr_watch_last_look_timestamp_seconds": [({"vantage": it}, at.timestamp()) for it, at in found if at]
    }


def scheduled(plan: Plan) -> Samples:
    """How late the first of the runs that wait is, and how many are planned, by Prefect's own count.

    Raises:
        Transient: its server does not answer.
    """
    del plan
    api = Api(os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING", ""))
    now = datetime.now(UTC)
    due = {"state": _WAITING | _IN_TURN, "expected_start_time": {"before_": now.isoformat()}}
    ahead = {"state": _WAITING, "expected_start_time": {"after_": now.isoformat()}}
    first = {"flow_runs": due, "sort": "EXPECTED_START_TIME_ASC", "limit": 1}
    waiting = api.call("POST", "/flow_runs/filter", first)
    begins = (datetime.fromisoformat(run["expected_start_time"]) for run in waiting)
    late = max(((now - at).total_seconds() for at in begins), default=0.0)
    planned = api.call("POST", "/flow_runs/count", {"flow_runs": ahead})
    return {"dr_schedule_late_seconds": [({}, late)], "dr_schedule_runs_ahead": [({}, float(planned))]}


def told(plan: Plan) -> Samples:
    """When people were first told of the newest incident, or when the newest planned move began."""
    known = journal.incidents(plan)
    if not known:
        return {}
    record = on_record(plan, known[-1])
    return told_samples(record, read_deliveries(plan, record.id))


def told_samples(record: OnRecord, deliveries: Sequence[Delivery]) -> Samples:
    """Of an incident that was called off, nothing: it explains nothing."""
    case, site = record.case, record.alarm.site if record.alarm else ""
    if case and case.kind == "switchover":
        began = case.triggered_at.timestamp()
        return {"dr_planned_move_timestamp_seconds": [({"site": case.failed_site}, began)]}
    if not record.goes_on:
        return {}
    first: dict[str, float] = {}
    for each in deliveries:
        if each.outcome == "sent":
            first[each.channel] = min(first.get(each.channel, each.at.timestamp()), each.at.timestamp())
    where = {"site": case.failed_site if case else site}
    return {
        "dr_incident_told_timestamp_seconds": [
            ({**where, "channel": channel}, at) for channel, at in first.items()
        ]
    }


def pooled(plan: Plan) -> Samples:
    """The clients of each PgBouncer; nothing of one that does not answer.

    Measured here, for Debian's exporter knows no PgBouncer as new as Debian's own.
    """
    asked = {
        (site, name): partial(pgbouncer.clients, plan, str(host.address))
        for site, each in plan.sites.items()
        for name, host in each.running("pgbouncer").items()
    }
    return {
        "dr_pgbouncer_clients": [
            ({"site": site, "host": name, "state": state}, float(count))
            for (site, name), counts in ask_all(asked, _POOLS_S).items()
            if not isinstance(counts, DrError)
            for state, count in counts.items()
        ]
    }


WATCHERS: Mapping[str, Measure] = {
    "watch": Measure(looked, 15),
    "schedules": Measure(scheduled, 30),
    "telling": Measure(told, 15),
    "pools": Measure(pooled, 15),
}
