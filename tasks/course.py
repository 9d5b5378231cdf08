"""The course of a recovery: its steps tell where they stand, and one progress artifact shows it.

It is written beside the recovery, which neither waits for it nor fails with it.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import Task

from tasks.clients.telemetry.labels import serving
from tasks.errors import DrError
from tasks.facts.incident import Incident
from tasks.policy.course_words import Stand, course_words, done_words, share_done, stopped_words
from tasks.progress import Write, artifact

# A failover takes seconds: somebody who looks must find it.
_FIRST_S, _RAREST_S = 0.25, 1.0


@contextmanager
def followed(incident: Incident, *steps: Task[..., Any], also: Iterable[str] = ()) -> Iterator[None]:
    """Show how far an incident is, while a block runs its steps.

    Args:
        incident: the incident.
        steps: those that are known to come, in order; another one counts once it begins.
        also: the names of more of them.
    """
    title = f"{incident.failed_site} to {incident.to_site}"
    with artifact(title, f"progress-{incident.id.lower()}", _FIRST_S, _RAREST_S) as write:
        course = _Course(incident, [*(step.name for step in steps), *also], write)
        token = _current.set(course)
        try:
            with serving(incident=incident.id):
                yield
            course.finish()
        except DrError as error:
            course.stop(error.message)
            raise
        finally:
            _current.reset(token)


@contextmanager
def under_way(title: str) -> Iterator[None]:
    """Tell that a step runs, and how it ended; nothing where nobody follows."""
    course = _current.get()
    if course is None:
        yield
        return
    course.tell(title, Stand(state="under way", trouble=course.trouble(title)))
    try:
        yield
    except DrError as error:
        course.tell(title, Stand(state="under way", trouble=error.message))
        raise
    course.tell(title, Stand(state="done"))


class _Course:
    """One recovery's steps, told of from any thread."""

    def __init__(self, incident: Incident, titles: list[str], write: Write) -> None:
        self._incident, self._write = incident, write
        self._steps = {title: Stand() for title in titles}
        self._lock = threading.Lock()

    def trouble(self, title: str) -> str:
        """Why a step's last try failed."""
        return self._steps.get(title, Stand()).trouble

    def tell(self, title: str, stand: Stand) -> None:
        """A step stands elsewhere now."""
        with self._lock:
            self._steps[title] = stand
            self._write(share_done(self._steps), course_words(self._incident, self._steps))

    def finish(self) -> None:
        """All of it is done."""
        self._write(1.0, done_words(self._incident, self._steps))

    def stop(self, why: str) -> None:
        """It has failed."""
        self._write(share_done(self._steps), stopped_words(self._incident, self._steps, why))


_current: ContextVar[_Course | None] = ContextVar("course", default=None)
