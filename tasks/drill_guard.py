"""What a drill that moves production waits for: its window, readiness, and a commander's word.

Source: the seed's "DR Testing Schedule"; Prefect's manual, "Interactive workflows".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from pydantic import Field

from tasks.approval import commanders_form, require_commander
from tasks.clients.truth import active_site
from tasks.drill_begin import require_drills
from tasks.errors import Permanent, Refused
from tasks.facts.drill import Consent
from tasks.facts.readiness import Readiness
from tasks.plan.plan import Plan
from tasks.policy.drill_guard import question, risks
from tasks.retry import retried

_POLL_S = 1


class Permission(RunInput):
    """What a commander fills in; the names to choose from are the plan's."""

    commander: str = Field(description="You, by the plan's name for you.")
    decision: Literal["hold the drill", "refuse"] = Field(description="Users notice a pause of some seconds.")
    risk: str = Field(default="", description="Why what is listed above may be so; needed where anything is.")


@retried("see that the service may be moved now", times=0)
def require_window(plan: Plan) -> str:
    """Refuse outside of the plan's window, in a blackout, while an incident is open, and away from home.

    Raises:
        Refused: it is not the time, or the service is not at the primary site.
        Transient: etcd has no quorum.
    """
    require_drills(plan)
    if (active := active_site(plan)) != plan.site_of("primary"):
        raise Refused(f"the service is at {active}", hint="bring it home first: `dr trigger fail-back`")
    window, now = plan.drills.window, datetime.now(UTC)
    if window is None:
        return "at any time"
    if not window.left(now):
        raise Refused(
            "the service may not be moved for a drill now", f"only {window.words}", "see `drills.window`"
        )
    return window.words


def ask_permission(plan: Plan, ready: Readiness, approved_by: str | None, risk: str) -> Consent:
    """The word of whoever started this, or of a commander who answers in the UI or by REST.

    Args:
        plan: its commanders.
        ready: whether the service could be recovered now.
        approved_by: a commander who has decided already; all are asked where None.
        risk: why what speaks against it may be so.

    Raises:
        Refused: the name is no commander's, the drill was refused, or something speaks against it and
            nobody said why it may.
        Permanent: nobody answered in time.
    """
    if approved_by is not None:
        return _consent(plan, ready, approved_by, risk)
    try:
        told = pause_flow_run(
            wait_for_input=commanders_form(plan, Permission, question(plan, ready)),
            timeout=int(plan.declaration.deadline.total_seconds()),
            poll_interval=_POLL_S,
            key=uuid4().hex,
        )
    except FlowPauseTimeout:
        within = f"{plan.declaration.deadline} were given"
        raise Permanent("nobody allowed the drill in time", within, "start it again") from None
    if told.decision == "refuse":
        raise Refused(f"{told.commander} refused the drill", told.risk, "nothing was touched")
    return _consent(plan, ready, told.commander, told.risk)


def _consent(plan: Plan, ready: Readiness, commander: str, risk: str) -> Consent:
    require_commander(plan, commander)
    against: Sequence[str] = [f"{each.name}: {each.detail}" for each in risks(ready)]
    if against and not risk.strip():
        raise Refused(
            "something speaks against the drill, and nobody said why it may be so",
            "; ".join(against)[:2000],
            "mend it, or give a reason as `risk`",
        )
    told = f"{risk.strip()} ({'; '.join(against)})" if against else ""
    return Consent(commander=commander, risk=told)
