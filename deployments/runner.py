"""The warm runner: starts a triggered recovery in a fraction of a second.

A clean process that has imported the flows already (multiprocessing's forkserver) forks one child a run;
the child hands the run to Prefect's own engine. So a run has its own memory, signals and end, and outlives
this process.

What happens when things break:
    the server restarts: the runner keeps asking; runs under way do not need the server.
    the server's events do not arrive: the runner asks twice a second all the same.
    the runner is killed: its runs go on. The next runner finds them by the process recorded on each run, and
        starts those again whose process is gone. Until then the recovery pool's worker takes new runs.
    a run's process is killed: the run is started again within RECLAIM_SECONDS; after three attempts it is
        CRASHED.
    the host is lost: nobody here can tell; Prefect's flow heartbeats (every 30 s) stop, and the run is
        triggered again elsewhere under the same incident.
    SIGTERM to the runner: no new run is claimed, runs under way are finished first. A supervisor must
        signal this process alone (systemd: KillMode=process), for SIGTERM to a run's process ends the run.
"""

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import FlowRunResponse
from prefect.exceptions import Abort, PrefectException
from prefect.logging import get_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, PREFECT_HOME, temporary_settings
from prefect.states import Cancelled, Crashed, Pending, Scheduled
from prefect.utilities.engine import propose_state_sync

from deployments import reclaim
from deployments.child import execute
from deployments.ending import told_by
from deployments.priority import go_first
from deployments.reclaim import Attempt, Verdict
from deployments.register import recovery_modules
from deployments.scheduled import listen
from deployments.telemetry import written
from infra.control import RECOVERY_POOL
from tasks.errors import Refused

POLL_SECONDS = 0.5
RECLAIM_SECONDS = 2.0
RETRY_SECONDS = 1.0

_URGENT = DeploymentFilter(tags=DeploymentFilterTags(all_=[RECOVERY_POOL]))
_UNFINISHED = FlowRunFilter.model_validate(
    {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
)
_logger = get_logger("warm-runner")


class WarmRunner:
    """Claims the due runs of the deployments tagged with the recovery pool, and forks a child for each."""

    def __init__(self, client: SyncPrefectClient, context: ForkServerContext) -> None:
        self._client = client
        self._context = context
        self._entrypoints: dict[UUID, str] = {}

    def reclaim(self) -> None:
        """Look up the deployments, and settle the runs that are to be cancelled or whose process is gone."""
        found = self._client.read_deployments(deployment_filter=_URGENT)
        self._entrypoints = {item.id: item.entrypoint for item in found if item.entrypoint}
        for run in self._client.read_flow_runs(deployment_filter=_URGENT, flow_run_filter=_UNFINISHED):
            alive = reclaim.is_alive(run.infrastructure_pid)
            # A process that has just ended wrote its run's last state before: read it after looking.
            self._settle(run if alive else self._client.read_flow_run(run.id), alive)

    def _settle(self, run: FlowRun, alive: bool) -> None:
        state, pid = run.state, reclaim.own_pid(run.infrastructure_pid)
        if state is None or state.type not in {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}:
            return
        seconds = (datetime.now(UTC) - state.timestamp).total_seconds()
        verdict = reclaim.judge(Attempt(state.type, seconds, run.run_count, pid is not None, alive))
        if verdict in _SIGNALS and pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, _SIGNALS[verdict])
        elif verdict in _STATES:
            _logger.warning("run %s was %s, its process is gone: %s", run.name, state.name, verdict.name)
            self._client.set_flow_run_state(run.id, _STATES[verdict](), force=True)

    def poll(self) -> None:
        """Claim every run that is due, and start a child for each claimed one."""
        if not self._entrypoints:
            return
        due = self._client.get_scheduled_flow_runs_for_deployments(
            list(self._entrypoints), scheduled_before=datetime.now(UTC)
        )
        for run in due:
            if self._claim(run):
                self._start(run)

    def _claim(self, run: FlowRunResponse) -> bool:
        """Propose Pending, which the server grants to one claimant only."""
        try:
            state: State[Any] = propose_state_sync(self._client, Pending(), flow_run_id=run.id)
        except Abort:
            return False
        return state.is_pending()

    def _start(self, run: FlowRunResponse) -> None:
        entrypoint = self._entrypoints[run.deployment_id] if run.deployment_id else ""
        _logger.info("starting run %s of %s", run.name, entrypoint)
        self._context.Process(target=execute, args=(run.id, entrypoint), name=str(run.name)).start()


_SIGNALS = {Verdict.CANCEL: reclaim.CANCEL_SIGNAL, Verdict.KILL: signal.SIGKILL}
_STATES: dict[Verdict, Callable[[], State[Any]]] = {
    Verdict.CANCELLED: lambda: Cancelled(message="cancelled; its process has ended"),
    Verdict.AGAIN: lambda: Scheduled(name="AwaitingRetry", message="its process is gone; started again"),
    Verdict.CRASHED: lambda: Crashed(message=f"its process died {reclaim.MAXIMUM_ATTEMPTS} times"),
}


def serve(runner: WarmRunner, stopping: threading.Event, due: threading.Event) -> None:
    """Claim what is due until told to stop, whatever becomes of the server meanwhile.

    Args:
        runner: who claims.
        stopping: ends it.
        due: set where something may be due before the next poll.
    """
    settle_at = 0.0
    while True:
        due.wait(POLL_SECONDS)
        due.clear()
        if stopping.is_set():
            return
        try:
            runner.poll()
            if time.monotonic() >= settle_at:
                runner.reclaim()
                settle_at = time.monotonic() + RECLAIM_SECONDS
        # A run that somebody deleted meanwhile ends no runner either.
        except (httpx.HTTPError, PrefectException) as error:
            _logger.warning("the Prefect API does not answer, or not so: %r", error)
            settle_at = 0.0
            stopping.wait(RETRY_SECONDS)


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the lock that makes this the host's only warm runner.

    Raises:
        Refused: another one holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "warm-runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("a warm runner is already here", str(directory), "stop it first") from error
        yield


@told_by("runner")
def main(modules: Sequence[str]) -> None:
    """Serve until SIGTERM, with `modules` imported ahead of every run; exit code 2 beside another."""
    stopping, due = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    go_first()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deployments.child", "deployments.tracing", "deployments.warm", *modules])
    forkserver.ensure_running()
    # The loop has its own patience; Prefect's client would block it through long backoffs.
    with (
        written("runner"),
        only_one(PREFECT_HOME.value()),
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True) as client,
    ):
        listen(due.set)
        serve(WarmRunner(client, context), stopping, due)


if __name__ == "__main__":
    main(sys.argv[1:] or recovery_modules())
