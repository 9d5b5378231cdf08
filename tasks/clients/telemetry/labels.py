"""Which incident and which step the code at hand serves; every line and every span says it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry import trace

_NONE: Mapping[str, str] = MappingProxyType({})
_labels: ContextVar[Mapping[str, str]] = ContextVar("labels", default=_NONE)


@contextmanager
def labelled(**labels: str) -> Iterator[None]:
    """Label the lines that a block writes and the spans that it begins.

    Args:
        labels: such as incident, step, site and host.
    """
    with labelled_as({**_labels.get(), **_named(labels)}):
        yield


@contextmanager
def labelled_as(named: Mapping[str, str]) -> Iterator[None]:
    """Give a block these labels and no others, by their field's name."""
    token = _labels.set(named)
    try:
        yield
    finally:
        _labels.reset(token)


@contextmanager
def serving(**labels: str) -> Iterator[None]:
    """The same, and the span that the block runs in is labelled too.

    Args:
        labels: as above.
    """
    trace.get_current_span().set_attributes(_named(labels))
    with labelled(**labels):
        yield


def labels() -> Mapping[str, str]:
    """The labels in force here, by their field's name such as "dr.incident"."""
    return _labels.get()


def _named(labels: Mapping[str, str]) -> dict[str, str]:
    return {f"dr.{name}": value for name, value in labels.items()}
