"""How far something long has come: a bar in the terminal, a progress artifact in the UI."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Told = Callable[[float, float], None]
Draw = Callable[[float], None]
# Each write costs a request of ours and some work of the server's: rarer the longer it takes.
_FIRST_S, _RAREST_S = 2.0, 15.0
_log = logging.getLogger("dr.progress")


@contextmanager
def shown(title: str) -> Iterator[Told]:
    """Show the progress of a block; gives what is to be told (done, total) in any unit, from any thread.

    Outside a Prefect run there is the bar only; where standard error is no terminal, the artifact only.
    """
    with _bar(title) as draw, _artifact(title) as write:

        def told(done: float, total: float) -> None:
            share = min(1.0, done / total) if total else 1.0
            draw(share)
            write(share)

        yield told
        told(1, 1)


@contextmanager
def _bar(title: str) -> Iterator[Draw]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda share: progress.update(task, completed=share)


@contextmanager
def _artifact(title: str) -> Iterator[Draw]:
    if TaskRunContext.get() is None and FlowRunContext.get() is None:
        yield lambda _: None
        return
    writer = _Writer(title)
    thread = Thread(target=copy_context().run, args=(writer.repeat,), name="progress", daemon=True)
    thread.start()
    try:
        yield writer.tell
    finally:
        writer.ended.set()
        thread.join()


class _Writer:
    """Writes a run's progress artifact beside the work, which neither waits for it nor fails with it."""

    def __init__(self, title: str) -> None:
        self.ended = Event()
        self._title = title
        self._share = 0.0

    def tell(self, share: float) -> None:
        """Remember how far it is."""
        self._share = share

    def repeat(self) -> None:
        """Write what changed, now and then, and once more at the end."""
        artifact, written, last, pause = None, None, False, _FIRST_S
        while not last:
            last = self.ended.wait(pause)
            pause = min(2 * pause, _RAREST_S)
            if self._share != written:
                written = self._share
                artifact = self._written(artifact, written)

    def _written(self, artifact: UUID | None, share: float) -> UUID | None:
        percent = round(share * 100, 1)
        try:
            if artifact is None:
                found = create_progress_artifact(progress=percent, description=self._title)
                return found if isinstance(found, UUID) else None
            update_progress_artifact(artifact_id=artifact, progress=percent)
        except Exception as error:  # noqa: BLE001 -- a bar that is not drawn must not end a backup
            _log.warning("the progress of %s is not shown: %r", self._title, error)
        return artifact
