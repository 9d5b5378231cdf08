"""How far something long has come: a bar in the terminal, a progress artifact in the UI."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Told = Callable[[float, float], None]
_EVERY_S = 1.0


@contextmanager
def shown(title: str) -> Iterator[Told]:
    """Show the progress of a block; gives what is to be told (done, total) in any unit, from any thread.

    Outside a Prefect run there is the bar only; where standard error is no terminal, the artifact only.
    """
    with _bar(title) as draw:
        artifact = _Artifact(title)

        def told(done: float, total: float) -> None:
            share = min(1.0, done / total) if total else 1.0
            draw(share)
            artifact.show(share)

        yield told
        told(1, 1)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[float], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda share: progress.update(task, completed=share)


class _Artifact:
    """A progress artifact of the current run, written at most once a second."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._id: UUID | None = None
        self._due = 0.0

    def show(self, share: float) -> None:
        """Write it where it is due."""
        outside = TaskRunContext.get() is None and FlowRunContext.get() is None
        if outside or (time.monotonic() < self._due and share < 1):
            return
        self._due = time.monotonic() + _EVERY_S
        percent = round(share * 100, 1)
        if self._id is None:
            found = create_progress_artifact(progress=percent, description=self._title)
            self._id = found if isinstance(found, UUID) else None
        else:
            update_progress_artifact(artifact_id=self._id, progress=percent)
