"""What a run's own process does: say who it is, load the flow, and hand the run to Prefect's engine."""

import gc
import signal
from types import FrameType
from typing import Any
from uuid import UUID

from prefect import Flow, State
from prefect.context import SyncClientContext
from prefect.engine import handle_engine_signals
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Crashed
from prefect.utilities.engine import propose_state_sync

from deployments.reclaim import CANCEL_SIGNAL, own_identity
from deployments.telemetry import running_flows


def _abort(_signal: int, _frame: FrameType | None) -> None:
    # SIGTERM would make Prefect call the run crashed; an abort leaves its state to whoever cancels it.
    raise Abort("cancelled")


def execute(run_id: UUID, entrypoint: str) -> None:
    """Run a claimed flow run to its end.

    Args:
        run_id: the flow run, in Pending.
        entrypoint: where its flow is, as `package.module.function`.

    Raises:
        Exception: the flow cannot be loaded; the run is CRASHED and says why.
    """
    gc.freeze()  # What was imported before the fork is looked through no more: 0.1 s each time.
    with SyncClientContext.get_or_create() as context:
        # Recorded before the run is Running: whoever sees it Running can tell whether it is alive.
        context.client.update_flow_run(run_id, infrastructure_pid=own_identity())
        run = context.client.read_flow_run(run_id)
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        except Exception as error:
            state: State[Any] = Crashed(message=f"{entrypoint} cannot be loaded: {error!r}")
            propose_state_sync(context.client, state, flow_run_id=run_id)
            raise
        signal.signal(CANCEL_SIGNAL, _abort)
        with running_flows(), handle_engine_signals(run_id):
            run_flow(flow, flow_run=run)
