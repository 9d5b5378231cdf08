"""What a process tells of itself, beside what people at its terminal read.

JSON lines where the plan or DR_LOG_FOLDER names a folder, traces where the plan names a collector. Nothing of
it may slow or stop a recovery: what cannot be begun is told once, and the process goes on.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.clients.masking import every_secret, hiding, without_secrets
from tasks.clients.telemetry.lines import DailyFile, JsonFormatter
from tasks.current import current_plan
from tasks.errors import DrError
from tasks.plan.plan import Plan

_log = logging.getLogger("dr.telemetry")
# What is audited is no news for a terminal: it goes to the lines only.
_AUDIT = logging.getLogger("dr.audit")
_AUDIT.propagate = False
_AUDIT.addHandler(logging.NullHandler())
_SECRETS_KEPT_S = 60.0
# How long the end of a process waits for its last spans to leave.
_LAST_SPANS_S = 1.0


@contextmanager
def running_flows(tags: Sequence[str] = ()) -> Iterator[None]:
    """Write lines and send traces while a block runs flows, as the plan that DR_PLAN names says.

    Its threads are started here: call it in the process that does the work, after any fork.

    Args:
        tags: those of a run that no server has given any.
    """
    plan = _plan()
    mask = Mask(plan)
    with _written("flow", plan, mask, {}):
        end_traces = _begin_traces(plan, mask, tags)
        try:
            yield
        finally:
            if end_traces:
                _within(_LAST_SPANS_S, end_traces)


@contextmanager
def written(program: str, plan: Plan | None = None, site: str = "") -> Iterator[None]:
    """Write lines while a block runs.

    Args:
        program: which of our programs this is.
        plan: the plan; the one that DR_PLAN names where None.
        site: where this process is.
    """
    known = plan or _plan()
    with _written(program, known, Mask(known), {"dr.site": site} if site else {}):
        yield


class Mask:
    """Takes the plan's secrets out of a text; they are read anew now and then, since they are rotated."""

    def __init__(self, plan: Plan | None) -> None:
        self._plan, self._due = plan, 0.0
        password = os.environ.get("PREFECT_API_AUTH_STRING", "")
        self._texts = {password, password.partition(":")[2]}
        self._hide = hiding(self._texts)

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._plan and time.monotonic() >= self._due:
            self._due = time.monotonic() + _SECRETS_KEPT_S
            self._texts |= set(every_secret(self._plan))
            self._hide = hiding(self._texts)
        return without_secrets(self._hide(text))


def _plan() -> Plan | None:
    try:
        return current_plan()
    except DrError:
        return None  # whoever needs it will say so


@contextmanager
def _written(program: str, plan: Plan | None, mask: Mask, fixed: Mapping[str, str]) -> Iterator[None]:
    handler = _opened(plan)
    if handler is None:
        yield
        return
    service = plan.service.name if plan else "unknown"
    handler.setFormatter(JsonFormatter(service, program, mask, lambda it: {**fixed, **_run_fields(it)}))
    for logger in (logging.getLogger(), _AUDIT):
        logger.addHandler(handler)
    _AUDIT.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in (logging.getLogger(), _AUDIT):
            logger.removeHandler(handler)
        handler.close()


def _opened(plan: Plan | None) -> DailyFile | None:
    logs = plan.telemetry.logs if plan else None
    folder = os.environ.get("DR_LOG_FOLDER") or (logs.folder if logs else "")
    if not folder:
        return None
    try:
        return DailyFile(Path(folder))
    except OSError as error:
        _log.warning("no JSON lines are written to %s: %s", folder, error)
        return None


def _begin_traces(plan: Plan | None, mask: Mask, tags: Sequence[str]) -> Callable[[], None] | None:
    if plan is None or plan.telemetry.traces is None:
        return None
    from deployments.tracing import begin_traces  # noqa: PLC0415 -- for those who trace only

    try:
        return begin_traces(plan, plan.telemetry.traces, mask, tags)
    except DrError as error:
        _log.warning("nothing is traced: %s", error)
        return None


def _run_fields(record: logging.LogRecord) -> Mapping[str, str]:
    """The flow run that a record belongs to, by what Prefect says in it or around it."""
    fields = {
        "dr.flow": getattr(record, "flow_name", ""),
        "dr.flow_run": getattr(record, "flow_run_id", ""),
        "dr.step": getattr(record, "task_name", ""),
    }
    # A program that has not loaded Prefect runs no flow.
    if context := sys.modules.get("prefect.context"):
        flow, task = context.FlowRunContext.get(), context.TaskRunContext.get()
        if flow and flow.flow_run:
            fields |= {"dr.flow": flow.flow.name, "dr.flow_run": str(flow.flow_run.id)}
        if task:
            fields["dr.step"] = task.task.name
    return {name: value for name, value in fields.items() if value}


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Let something happen, and wait so long for it at most."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
