"""The incident of the flow run that this process executes."""

from prefect.context import FlowRunContext

from tasks.errors import Refused


def own_incident() -> str:
    """The id of the incident that this flow run opens; the same one when the run is started again.

    So a run whose process died finds its own incident open, and resumes it.

    Raises:
        Refused: no flow runs here.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.created is None:
        raise Refused("no flow runs here", hint="give the incident's id")
    return f"inc-{run.created:%Y%m%dT%H%M%SZ}-{run.id.hex[:6]}"
