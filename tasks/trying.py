"""A trial under way: one task after the other, and the first that does not pass ends it, not the drill."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from prefect import Flow, Task

from tasks.errors import DrError, Permanent
from tasks.facts.drill import Act, Outcome


class _Over(Exception):
    """The trial went no further."""


class Trying:
    """What was done so far.

    Attributes:
        acts: each task, in order.
        point: what is restored; empty until it was chosen.
        lost_s: for how many seconds the copy lacked what the source had; None where not known.
        took_s: the seconds that the RTO is about.
    """

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.point = ""
        self.lost_s: float | None = None
        self.took_s = 0.0

    def do(self, run: Task[..., Any] | Flow[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a task and keep how it ended; what it returned. A text that it returns is kept too.

        A task that fails ends the block of `ended_early` that this is in.
        """
        began = datetime.now(UTC)
        state: Any = run(*args, return_state=True, **kwargs)
        found = state.result(raise_on_failure=False)
        if isinstance(found, BaseException):
            self._keep(run.name, began, *_wrong(found))
            raise _Over
        self._keep(run.name, began, "passed", found if isinstance(found, str) else "")
        return found

    def attempt(self, run: Task[..., Any] | Flow[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The same, but a task that fails ends nothing; None then."""
        try:
            return self.do(run, *args, **kwargs)
        except _Over:
            return None

    def _keep(self, name: str, began: datetime, outcome: Outcome, detail: str) -> None:
        ended = datetime.now(UTC)
        self.acts.append(Act(name=name, started=began, ended=ended, outcome=outcome, detail=detail))


@contextmanager
def ended_early() -> Iterator[None]:
    """A task that fails in the block, by `Trying.do`, ends the block and nothing else."""
    try:
        yield
    except _Over:
        return


def softly(run: Task[..., Any], *args: Any) -> Any:
    """What a task returned, or the `DrError` that it ended in.

    Raises:
        BaseException: it ended in something else.
    """
    state: Any = run(*args, return_state=True)
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException) and not isinstance(found, DrError):
        raise found
    return found


def _wrong(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, DrError):
        told = error.seen
        return ("failed" if isinstance(error, Permanent) else "unknown"), told
    return "unknown", repr(error)[:300]
