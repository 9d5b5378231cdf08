"""`dr run FLOW`: any flow in this process, with no Prefect server at all (break-glass)."""

import asyncio
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefect import Flow
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectException
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    temporary_settings,
)

from deployments.offline import offline_api
from deployments.register import DEPLOYMENTS, tags_of
from deployments.telemetry import running_flows
from tasks.errors import Refused

_QUOTED = "text that reads as JSON goes in quotes: --param 'name=\"12\"'"


def entrypoint_of(name: str) -> str:
    """The flow that a person means by "fail_over" or "fail-over".

    Raises:
        Refused: there is no such flow.
    """
    known = {item.function: item.entrypoint for item in DEPLOYMENTS}
    try:
        return known[name.replace("-", "_")]
    except KeyError:
        raise Refused(f"there is no flow {name}", hint=f"one of: {', '.join(sorted(known))}") from None


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Read "name=value" pairs; a value that is JSON is taken as such, any other is text.

    Raises:
        Refused: a pair without a name or without "=", or a name that comes twice.
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise Refused(f"{pair} is not a parameter", hint="--param name=value")
        if name in parameters:
            raise Refused(f"{name} is given twice", hint='of a list: --param \'name=["one", "two"]\'')
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def run(entrypoint: str, parameters: Mapping[str, Any]) -> Any:
    """Run a flow here and return its result: same engine, same retries, same kept results, no server.

    Args:
        entrypoint: the flow, as `package.module.function`.
        parameters: its parameters.

    Raises:
        Refused: the flow takes other parameters; it has not begun.
        Exception: what the flow raised.
    """
    # Not as Prefect's own tags: for those it would ask its server for a slot at every task.
    with running_flows(tags_of(entrypoint)), without_server():
        flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        _require_fitting(flow, parameters)
        result = flow(**parameters)
        return asyncio.run(result) if flow.isasync else result


def _require_fitting(flow: Flow[..., Any], parameters: Mapping[str, Any]) -> None:
    signature = inspect.signature(flow.fn)
    try:
        flow.validate_parameters(signature.bind(**parameters).arguments)
    except (TypeError, PrefectException) as error:
        raise Refused(
            f"{flow.name} does not take these parameters",
            str(error),
            f"it takes {', '.join(signature.parameters) or 'none'}; {_QUOTED}",
        ) from None


@contextmanager
def without_server() -> Iterator[None]:
    """Let Prefect's engine work here whatever PREFECT_API_URL says, with nothing leaving this process."""
    EventsWorker.set_client_override(NullEventsClient)
    try:
        with offline_api() as url, temporary_settings({PREFECT_API_URL: url, **_OFFLINE}):
            yield
    finally:
        EventsWorker.set_client_override(None)


_OFFLINE: dict[Any, Any] = {
    PREFECT_API_AUTH_STRING: None,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
    # Nobody listens; and a flow waits a second for this thread at its end.
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    PREFECT_LOGGING_TO_API_ENABLED: False,
    PREFECT_SERVER_ANALYTICS_ENABLED: False,
}
