"""A collector of traces as a real HTTP server: it takes OTLP's protobuf and nothing else."""

import gzip
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from servers import running


class Span:
    """One span, with its attributes as a mapping."""

    def __init__(self, span):
        self.id, self.parent, self.trace = span.span_id.hex(), span.parent_span_id.hex(), span.trace_id.hex()
        self.name, self.status, self.told = span.name, span.status.code, span.status.message
        self.attributes = {it.key: it.value.string_value for it in span.attributes}
        self.text = str(span)
        # Prefect numbers the runs of a task, "look around-1f3".
        self.kind = self.name.partition("-")[0]


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it was sent; `slow_s` is how long it takes to answer."""

    daemon_threads = True

    def __init__(self, slow_s=0.0):
        self.spans, self.slow_s = [], slow_s
        super().__init__(("127.0.0.1", 0), _Traces)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def handle_error(self, *_):
        """A sender that went away tells nothing."""


class _Traces(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        time.sleep(self.server.slow_s)
        known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
        if known:
            request = ExportTraceServiceRequest.FromString(body)
            self.server.spans += [
                Span(span)
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self.send_response(200 if known else 415)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_):
        """Its tests tell all of it."""


@contextmanager
def collector(slow_s=0.0):
    """A collector that ends with its block."""
    with running(Collector(slow_s)) as server:
        yield server
