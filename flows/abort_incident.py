"""Abort an incident that has not moved the service yet."""

from prefect import flow

from tasks.abort import abort
from tasks.continuity import give_flags_back
from tasks.current import current_plan


@flow(persist_result=False)
def abort_incident(incident: str, reason: str) -> str:
    """Undo what can be undone of an incident, and say what was done.

    Args:
        incident: the incident's id.
        reason: why, in your words; it stands on record.
    """
    plan = current_plan()
    done = abort(plan, incident, reason)
    give_flags_back(plan, incident)
    return done
