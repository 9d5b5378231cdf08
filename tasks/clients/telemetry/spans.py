"""Spans of what is called: programs, HTTP requests, databases and stores, below the step that calls them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace

from tasks.clients.telemetry.labels import labels

_tracer = trace.get_tracer("naas-dr")


@contextmanager
def called(name: str, attributes: Mapping[str, str | int] | None = None) -> Iterator[dict[str, str]]:
    """Trace a call, where the code at hand is part of a trace; the error that it ends in is recorded.

    Gives what the one that is called must be told to be part of it, as the W3C writes it (`traceparent`);
    nothing where there is no trace.

    Args:
        name: what is called.
        attributes: what is known of it, in OpenTelemetry's words such as "server.address".
    """
    if not trace.get_current_span().get_span_context().is_valid:
        yield {}
        return
    # Never the current span: some of these blocks are left and entered again while others run.
    known = {**labels(), **(attributes or {})}
    span = _tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=known)
    passed_on: dict[str, str] = {}
    propagate.inject(passed_on, trace.set_span_in_context(span))
    try:
        yield passed_on
        span.set_status(trace.StatusCode.OK)
    except Exception as error:
        span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, str(error))
        raise
    finally:
        span.end()


def told_to(
    own: Mapping[str, str], given: Mapping[str, str] | None, passed_on: Mapping[str, str]
) -> dict[str, str] | None:
    """A program's environment and the trace that it is part of; None where both are its caller's.

    Args:
        own: the caller's own environment.
        given: the one that it is to have; None for the caller's own.
        passed_on: see `called`.
    """
    if given is None and not passed_on:
        return None
    upper = {name.upper(): value for name, value in passed_on.items()}
    return {**(own if given is None else given), **upper}
