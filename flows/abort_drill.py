"""End a drill early. Source: the seed's "automatic rollback after testing"."""

from prefect import flow

from tasks.current import current_plan
from tasks.drill_abort import abort


@flow(persist_result=False)
def abort_drill(drill: str, reason: str) -> str:
    """Let a drill try nothing more: what it restored is removed, and a service that it moved comes home.

    Args:
        drill: the drill's id, as in the artifacts of its run.
        reason: why, in your words; it stands in the report.
    """
    return abort(current_plan(), drill, reason)
