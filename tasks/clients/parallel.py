"""Asking many servers at once, with one deadline for all: who does not answer holds nobody up."""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TypeVar

from tasks.clients.telemetry.threads import carried
from tasks.errors import DrError, Permanent, Transient

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def ask_all(jobs: Mapping[K, Callable[[], T]], timeout: float) -> dict[K, T | DrError]:
    """Run every job in a thread of its own; its answer, or the error that it ended in.

    Args:
        jobs: what to run.
        timeout: seconds for all of them. The thread of a job that takes longer is left behind: it ends with
            its own timeouts, and holds up nobody, not even the end of the process.
    """
    late = Transient("no answer in time", f"{timeout:g} s")
    return dict.fromkeys(jobs, late) | dict(each_answer(jobs, timeout))


def each_answer(
    jobs: Mapping[K, Callable[[], T]], timeout: float, grace: float | None = None, *, finish: bool = False
) -> Iterator[tuple[K, T | DrError]]:
    """The same, as the answers come; who is late has none.

    Args:
        jobs: what to run.
        timeout: seconds for all of them.
        grace: seconds that the others have once one has answered without an error; None for no such end.
        finish: whether the process ends no sooner than the jobs that are late.
    """
    answers: queue.Queue[tuple[K, T | DrError]] = queue.Queue()
    for key, job in jobs.items():
        ask = carried(job)
        threading.Thread(target=lambda k=key, j=ask: answers.put((k, _answer(j))), daemon=not finish).start()
    deadline = time.monotonic() + timeout
    for _ in jobs:
        try:
            key, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if grace is not None and not isinstance(answer, DrError):
            deadline = min(deadline, time.monotonic() + grace)
        yield key, answer


def answered(answer: T | DrError) -> T:
    """One answer of `ask_all` that cannot be done without.

    Raises:
        DrError: the error that its job ended in.
    """
    if isinstance(answer, DrError):
        raise answer
    return answer


def _answer(job: Callable[[], T]) -> T | DrError:
    try:
        return job()
    except DrError as error:
        return error
    except Exception as error:  # noqa: BLE001 -- an answer that cannot be read is one more that is not known
        return Permanent("an answer cannot be read", repr(error)[:300])
