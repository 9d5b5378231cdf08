"""Threads whose lines and spans are part of what began them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from opentelemetry import context

from tasks.clients.telemetry.labels import labelled_as, labels

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A pool of threads that carry the labels and the trace of whoever gives them something to do."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in one of them."""
        return super().submit(carried(fn), *args, **kwargs)


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, which in any thread has the labels and the trace of the code at hand."""
    trace_of, served = context.get_current(), labels()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        token = context.attach(trace_of)
        try:
            with labelled_as(served):
                return function(*args, **kwargs)
        finally:
            context.detach(token)

    return run
