"""Look at both sites before a planned move. Source: the seed's "Disaster Recovery Sites"."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tasks.clients import cache, patroni, postgres, service
from tasks.clients.parallel import ask_all
from tasks.clients.truth import active_site, read_truth
from tasks.clients.walnames import parse_lsn
from tasks.errors import DrError, Refused
from tasks.facts.move import MoveView
from tasks.plan.plan import Plan
from tasks.policy.recovery import choose_target
from tasks.policy.switchover import reasons_against
from tasks.retry import retried

_ALL_S = 10


@retried("look at both sites", times=2, delay=1)
def require_ready(plan: Plan, to_site: str | None, incident: str) -> None:
    """See that a planned move can begin; one that has begun goes on.

    Raises:
        Refused: something speaks against it, all of which is told; or the target cannot take over.
        Transient: etcd has no quorum.
    """
    truth, _ = read_truth(plan)
    if truth.incident == incident:
        return
    if not truth.done:
        raise Refused("an incident is open", truth.incident, "finish it before a planned move")
    roles = {site: plan.sites[site].role for site in plan.sites}
    target = choose_target(roles, truth.active, to_site)
    if reasons := reasons_against(look(plan, target)):
        raise Refused(f"a move to {target} cannot begin", "; ".join(reasons), "nothing was touched")


def look(plan: Plan, to_site: str) -> MoveView:
    """Both sites as they answer now; what does not answer is unknown.

    Raises:
        Transient: etcd has no quorum.
    """
    source = active_site(plan)
    jobs: dict[str, Callable[[], Any]] = {
        "leader": partial(_writable_leader, plan, source),
        "standby_leader": lambda: patroni.leader(plan, to_site).name,
        "source_lsn": partial(_lsn, plan, source),
        "target_lsn": partial(_lsn, plan, to_site),
        "streams": partial(_streams, plan, source, to_site),
        "absent": lambda: (*_absent(plan, source), *_absent(plan, to_site)),
        "redis_linked": lambda: cache.follows(plan, to_site, source),
        "gateway_answers": partial(_gateway_answers, plan, to_site),
    }
    answers = ask_all(jobs, _ALL_S)
    known = {name: answer for name, answer in answers.items() if not isinstance(answer, DrError)}
    lag = known["source_lsn"] - known["target_lsn"] if {"source_lsn", "target_lsn"} <= known.keys() else None
    return MoveView(
        leader=known.get("leader"),
        standby_leader=known.get("standby_leader"),
        lag_bytes=None if lag is None else max(0, lag),
        streams=known.get("streams", False),
        absent=known.get("absent", ()),
        redis_linked=known.get("redis_linked"),
        gateway_answers=known.get("gateway_answers", False),
    )


def _writable_leader(plan: Plan, site: str) -> str:
    node = patroni.leader(plan, site)
    postgres.prove_write(plan, node.host, "before a planned move")
    return node.name


def _lsn(plan: Plan, site: str) -> int:
    return parse_lsn(postgres.position(plan, patroni.leader(plan, site).host).lsn)


def _streams(plan: Plan, source: str, to_site: str) -> bool:
    receivers = postgres.receivers(plan, patroni.leader(plan, source).host)
    return bool(receivers & plan.sites[to_site].running("postgres").keys())


def _absent(plan: Plan, site: str) -> list[str]:
    well = {member.name for member in patroni.members(plan, site) if member.state in {"running", "streaming"}}
    return sorted(plan.sites[site].running("postgres").keys() - well)


def _gateway_answers(plan: Plan, site: str) -> bool:
    service.healthy(plan.sites[site].gateway, plan.high_availability.failover.quickest.endpoint)
    return True
