"""Where logs and traces go: what the seed's monitoring of logs and traces leaves open."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from tasks.plan.base import Block
from tasks.plan.values import Duration, SecretRef, matching, refusal

Remembered = Literal["incidents", "drills"]
LogFolder = Annotated[str, matching(r"/\S+", "a folder of this host such as '/var/log/naas-dr'")]
ServerUrl = Annotated[
    str,
    matching(r"https?://[^\s/?#@]+(/[^\s?#@]*[^\s/?#@])?", "https://HOST:PORT, with a path where it has one"),
]


def _once(names: tuple[Remembered, ...]) -> tuple[Remembered, ...]:
    if len(set(names)) < len(names):
        raise refusal("the same twice", "incidents, drills, each once at most")
    return names


class LogShipping(Block):
    """Logs as JSON lines in a folder of every host, and the Elasticsearch that the shipper brings them to.

    Attributes:
        folder: where programs write; a file a day.
        kept: for how long a day's file stays after all of it was shipped.
        elasticsearch: the server.
        api_key: an encoded API key that may create documents of this service's logs, and nothing else.
        ca_certificate: the authority of its certificate; well-known ones where empty.
    """

    folder: LogFolder
    kept: Duration
    elasticsearch: ServerUrl
    api_key: SecretRef
    ca_certificate: SecretRef | None = None


class Traces(Block):
    """Where traces go, by OTLP over HTTP.

    Attributes:
        endpoint: the collector's own path included, such as https://HOST:4318/v1/traces.
        always: what is traced every time, whatever `monitoring.tracing` samples.
        api_key: what the collector asks for as a bearer token.
        ca_certificate: the file of the authority of its certificate; well-known ones where empty.
    """

    endpoint: ServerUrl
    always: Annotated[tuple[Remembered, ...], AfterValidator(_once)] = ("incidents", "drills")
    api_key: SecretRef | None = None
    ca_certificate: SecretRef | None = None


class Telemetry(Block):
    """Logs and traces; each is off where absent."""

    logs: LogShipping | None = None
    traces: Traces | None = None
