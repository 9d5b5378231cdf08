"""End a drill early: it tries nothing more, and leaves everything as it was before."""

from datetime import UTC, datetime

from tasks.clients import records
from tasks.clients.truth import open_incident
from tasks.drill_evidence import FOLDER
from tasks.errors import DrError, Refused
from tasks.plan.plan import Plan
from tasks.retry import retried

_MARK = "abort.txt"


@retried("ask the drill to end")
def abort(plan: Plan, drill: str, reason: str) -> str:
    """Leave word for a drill that is under way; it looks for it before each thing that it tries.

    Raises:
        Refused: there is no such drill, or it has ended.
        Transient: no store answers.
    """
    if records.read(plan, f"{FOLDER}/{drill}/drill.json") is None:
        raise Refused(f"there is no drill {drill}", hint="its id is in the artifacts of its run")
    if records.read(plan, f"{FOLDER}/{drill}/report.json") is not None:
        raise Refused(f"{drill} has ended", hint=f"`dr report show {drill}`")
    records.write(plan, f"{FOLDER}/{drill}/{_MARK}", f"{reason} ({datetime.now(UTC):%H:%M:%S} UTC)")
    return f"{drill} ends after what it does now"


def why_ended(plan: Plan, drill: str) -> str:
    """Why a drill tries nothing more: a recovery has everything, and so has whoever aborts it; else empty.

    Raises:
        Transient: no store answers, or etcd has no quorum.
    """
    if incident := open_incident(plan):
        return f"an incident is open: {incident}"
    why = records.read(plan, f"{FOLDER}/{drill}/{_MARK}")
    return f"the drill was aborted: {why}" if why else ""


def why_ended_if_known(plan: Plan, drill: str) -> str:
    """The same for who asks again and again: that nobody can tell is no reason."""
    try:
        return why_ended(plan, drill)
    except DrError:
        return ""
