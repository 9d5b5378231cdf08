"""The ways to recover, and what each would cost if it were taken now. No Prefect here."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from tasks.arrival import newest_segment
from tasks.clients import journal, patroni, postgres
from tasks.clients.observation import last_observation
from tasks.clients.parallel import ask_all
from tasks.errors import DrError
from tasks.evidence import read_report
from tasks.facts.recovery import Observation
from tasks.facts.report import Report
from tasks.facts.response import Alarm, Strategy
from tasks.plan.plan import Plan
from tasks.policy.recovery import choose_target
from tasks.policy.response import hot_loss, usual_seconds

_ALL_S = 6
_HISTORY = 20


def strategies(plan: Plan, alarm: Alarm) -> tuple[Strategy, ...]:
    """Every way to recover from an alarm: the hot standby, then each surviving copy of the backups.

    Raises:
        Transient: etcd has no quorum.
    """
    roles = {site: plan.sites[site].role for site in plan.sites}
    target = choose_target(roles, alarm.site, None)
    text = last_observation(plan, alarm.site)
    seen = Observation.model_validate_json(text) if text else None
    jobs: dict[str, Callable[[], Strategy]] = {target: partial(_hot, plan, target, seen)}
    jobs |= {
        f"copy {site}": partial(_cold, plan, target, site, seen) for site in plan.sites if site != alarm.site
    }
    found = ask_all(jobs, _ALL_S)
    closed = {
        target: Strategy(kind="hot standby", site=target),
        **{f"copy {site}": Strategy(kind="cold standby", site=target, source=site) for site in plan.sites},
    }
    return tuple(
        closed[name].model_copy(update={"against": str(answer)}) if isinstance(answer, DrError) else answer
        for name, answer in found.items()
    )


def _hot(plan: Plan, target: str, seen: Observation | None) -> Strategy:
    position = postgres.position(plan, patroni.leader(plan, target).host, timeout=3)
    lost, seconds = hot_loss(seen, position.next_xid, position.last_commit) if seen else (None, None)
    return Strategy(
        kind="hot standby",
        site=target,
        lost_transactions=lost,
        lost_seconds=seconds,
        expected_seconds=usual_seconds(_past_failovers(plan)),
    )


def _cold(plan: Plan, target: str, source: str, seen: Observation | None) -> Strategy:
    newest = newest_segment(plan, source)
    until = seen.at if seen else datetime.now(UTC)
    lost = max(0.0, (until - newest.taken).total_seconds())
    return Strategy(kind="cold standby", site=target, source=source, lost_seconds=round(lost, 1))


def _past_failovers(plan: Plan) -> list[Report]:
    names = journal.incidents(plan, having="report.json")[-_HISTORY:]
    reports = [read_report(plan, name) for name in names]
    return [report for report in reports if report.kind == "failover"]
