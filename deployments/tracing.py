"""Traces by OpenTelemetry: a flow run is a trace, its tasks and calls are spans.

Prefect makes the spans of flows and tasks, our clients those of what they call. Here is what becomes of them:
which traces are sampled, that no secret is in them, and where they go. Whatever happens to the collector, a
span costs its place in a bounded queue, and the oldest ones are dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.util.types import Attributes
from prefect.context import FlowRunContext

from infra.control import DRILL_TAG, RECOVERY_POOL
from tasks.clients.telemetry.labels import labels
from tasks.plan.plan import Plan
from tasks.plan.references import path_of, read_secret
from tasks.plan.telemetry import Remembered, Traces

_TAGS: Mapping[Remembered, str] = {"incidents": RECOVERY_POOL, "drills": DRILL_TAG}
_REQUEST_S = 5.0
_QUEUE, _BATCH, _EVERY_MS = 4096, 256, 500
Mask = Callable[[str], str]


def begin_traces(plan: Plan, wanted: Traces, mask: Mask, tags: Sequence[str] = ()) -> Callable[[], None]:
    """Trace what this process does from now on; gives what sends the last spans.

    Raises:
        Permanent: the API key or the certificate cannot be read.
    """
    session = requests.Session()
    session.trust_env = False  # the environment's proxies are for other places
    key = read_secret(plan.folder, wanted.api_key) if wanted.api_key else ""
    exporter = OTLPSpanExporter(
        endpoint=wanted.endpoint,
        certificate_file=str(path_of(plan.folder, wanted.ca_certificate)) if wanted.ca_certificate else None,
        headers={"Authorization": f"Bearer {key}"} if key else None,
        timeout=_REQUEST_S,
        session=session,
    )
    rate = float(plan.monitoring.tracing.jaeger.sampling_rate)
    provider = TracerProvider(
        sampler=ParentBased(Sampling(rate, [_TAGS[name] for name in wanted.always], tags)),
        resource=Resource.create({"service.name": f"{plan.service.name}-dr"}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(Naming())
    provider.add_span_processor(
        BatchSpanProcessor(
            Masked(exporter, mask),
            max_queue_size=_QUEUE,
            max_export_batch_size=_BATCH,
            schedule_delay_millis=_EVERY_MS,
        )
    )
    trace.set_tracer_provider(provider)
    return provider.shutdown


class Sampling(Sampler):
    """Samples a part of all traces, and every trace of a flow run that has one of some tags.

    Args:
        rate: which part.
        tags: those.
        own: the tags of this process's run, where no server has given it any.
    """

    def __init__(self, rate: float, tags: Sequence[str], own: Sequence[str] = ()) -> None:
        self._tags, self._others, self._own = frozenset(tags), TraceIdRatioBased(rate), own

    def should_sample(  # noqa: PLR0913 -- OpenTelemetry's own
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a trace by its first span, which Prefect begins with the run's tags."""
        tags = (attributes or {}).get("prefect.tags")
        known = [*self._own, *(tags if isinstance(tags, Sequence) else ())]
        ours = not self._tags.isdisjoint(known)
        sampler: Sampler = ALWAYS_ON if ours else self._others
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """What OpenTelemetry calls it."""
        return f"always {sorted(self._tags)}, else {self._others.get_description()}"


class Naming(SpanProcessor):
    """Labels every span, and calls a flow's by the flow: Prefect calls it by the run's own, random name."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 -- as given
        """A span begins."""
        span.set_attributes(dict(labels()))
        run, around = FlowRunContext.get(), trace.get_current_span()
        if not (run and run.flow and isinstance(around, Span)):
            return
        if (around.attributes or {}).get("prefect.run.type") == "flow":
            around.update_name(run.flow.name)
            around.set_attribute("dr.flow", run.flow.name)


class Masked(SpanExporter):
    """Exports spans without the plan's secrets, wherever an error's words have brought one."""

    def __init__(self, exporter: SpanExporter, mask: Mask) -> None:
        self._exporter, self._mask = exporter, mask

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans."""
        return self._exporter.export([self._without_secrets(span) for span in spans])

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def _without_secrets(self, span: ReadableSpan) -> ReadableSpan:
        status = span.status
        return ReadableSpan(
            self._mask(span.name),
            span.context,
            span.parent,
            span.resource,
            self._masked(span.attributes),
            [Event(each.name, self._masked(each.attributes), each.timestamp) for each in span.events],
            span.links,
            span.kind,
            None,
            Status(status.status_code, self._mask(status.description)) if status.description else status,
            span.start_time,
            span.end_time,
            span.instrumentation_scope,
        )

    def _masked(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            name: self._mask(value) if isinstance(value, str) else value
            for name, value in (attributes or {}).items()
        }
