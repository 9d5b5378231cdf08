"""A drill that moves the service: what its moves must show, and the time between them."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.drill_abort import why_ended_if_known
from tasks.errors import Permanent
from tasks.facts.drill import Act, Drill
from tasks.facts.report import Report
from tasks.plan.plan import Plan
from tasks.policy.tables import span
from tasks.progress import shown
from tasks.retry import retried

_LOOK_S = 2.0


@retried("see that the move lost nothing", times=0)
def require_no_loss(report: Report) -> str:
    """Hold the move against the clients' own count.

    Raises:
        Permanent: an acknowledged write is missing.
    """
    lost, ledger = report.rpo.lost_transactions, report.ledger
    missing = ledger.missing - ledger.before if ledger else 0
    if lost or missing:
        told = f"{lost or 0} transactions, {missing} in the ledger"
        raise Permanent("acknowledged writes are missing", told)
    if ledger is None:
        return f"{report.rpo.basis}: no transaction is missing"
    return f"0 of {ledger.acknowledged} acknowledged writes are missing"


@retried("hold the pause of writes against the RTO", times=0)
def require_short_pause(drill: Drill, report: Report) -> str:
    """A move that users notice for longer than the service may be away is a disaster of its own.

    Raises:
        Permanent: writes paused for longer, or nobody knows for how long.
    """
    pause = report.write_pause_seconds
    if pause is None or pause > drill.rto_s:
        raise Permanent("writes paused for too long", f"{pause} s of {drill.rto_s:.0f} s")
    return f"{pause:.2f} s of {drill.rto_s:.0f} s"


@retried("serve from the other site", times=0)
def stay(plan: Plan, drill: Drill) -> str:
    """Let users be served there for the plan's time, unless somebody ends the drill or a disaster begins.

    Half of what is left of the drill's own time belongs to the way home.
    """
    began = datetime.now(UTC)
    ends = began + plan.drills.stay
    if drill.ends:
        ends = min(ends, max(began, began + (drill.ends - began) / 2))
    with shown(f"{drill.id}: serving from the other site") as told:
        while (now := datetime.now(UTC)) < ends:
            told((now - began).total_seconds(), (ends - began).total_seconds())
            if why := why_ended_if_known(plan, drill.id):
                return f"ended after {span(now - began)}: {why}"
            time.sleep(min(_LOOK_S, (ends - now).total_seconds()))
    return f"for {span(ends - began)}"


def acts_of(report: Report) -> Sequence[Act]:
    """A move's own steps, as acts of the drill."""
    return [
        Act(
            name=step.name,
            started=step.started,
            ended=step.ended or step.started,
            outcome="passed" if step.outcome == "done" else "failed",
            detail=step.detail or "",
        )
        for step in report.steps
    ]
