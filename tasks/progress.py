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
Write = Callable[[float, str], None]
# Each write costs a request of ours and some work of the server's: rarer the longer it takes.
_FIRST_S, _RAREST_S = 2.0, 15.0
# A server that is gone is asked again and again by Prefect's client; what is shown is not waited for so long.
_LAST_S = 2.0
_log = logging.getLogger("dr.progress")


@contextmanager
def shown(title: str) -> Iterator[Told]:
    """Show the progress of a block; gives what is to be told (done, total) in any unit, from any thread.

    Outside a Prefect run there is the bar only; where standard error is no terminal, the artifact only.
    """
    with _bar(title) as draw, artifact(title) as write:

        def told(done: float, total: float) -> None:
            share = min(1.0, done / total) if total else 1.0
            draw(share)
            write(share, title)

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
def artifact(
    title: str, key: str | None = None, first_s: float = _FIRST_S, rarest_s: float = _RAREST_S
) -> Iterator[Write]:
    """Keep a progress artifact of this run beside a block, which neither waits for it nor fails with it.

    Gives what is to be told (the share that is done, the words for it), from any thread. Outside a Prefect
    run nothing is written.

    Args:
        title: the words until others are told.
        key: the artifact's key, under which the UI lists it; none where nobody looks for it by name.
        first_s: seconds until it is written first; each further pause is twice as long.
        rarest_s: seconds between two writes at most.
    """
    if TaskRunContext.get() is None and FlowRunContext.get() is None:
        yield lambda _share, _words: None
        return
    writer = _Writer(title, key, first_s, rarest_s)
    thread = Thread(target=copy_context().run, args=(writer.repeat,), name="progress", daemon=True)
    thread.start()
    try:
        yield writer.tell
    finally:
        writer.ended.set()
        thread.join(_LAST_S)


class _Writer:
    """Writes what changed, now and then, and once more at the end."""

    def __init__(self, title: str, key: str | None, first_s: float, rarest_s: float) -> None:
        self.ended = Event()
        self._key, self._first_s, self._rarest_s = key, first_s, rarest_s
        self._told = 0.0, title

    def tell(self, share: float, words: str) -> None:
        """Remember how far it is."""
        self._told = share, words

    def repeat(self) -> None:
        """Write until it has ended."""
        known, written, last, pause = None, None, False, self._first_s
        while not last:
            last = self.ended.wait(pause)
            pause = min(2 * pause, self._rarest_s)
            if self._told != written:
                written = self._told
                known = self._written(known, *written)

    def _written(self, known: UUID | None, share: float, words: str) -> UUID | None:
        percent = round(share * 100, 1)
        try:
            if known is None:
                found = create_progress_artifact(progress=percent, key=self._key, description=words)
                return found if isinstance(found, UUID) else None
            update_progress_artifact(artifact_id=known, progress=percent, description=words)
        except Exception as error:  # noqa: BLE001 -- a bar that is not drawn must not end a backup
            _log.warning("the progress of %s is not shown: %r", words, error)
        return known
