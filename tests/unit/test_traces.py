"""A flow run is a trace: its steps and calls are spans, and where they go may be slow, dead or absent.

The flows run in processes of their own, as `dr run` runs them, before a collector that is a real HTTP server.
"""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased
from otlp_receiver import collector

from deployments.register import DEPLOYMENTS, tags_of
from deployments.tracing import Sampling
from infra.control import DRILL_TAG, RECOVERY_POOL

ROOT = Path(__file__).parents[2]
UNIT = Path(__file__).parent
OK, ERROR = 1, 2


@pytest.fixture(scope="module")
def asked():
    """A server that keeps the headers of what it is asked."""

    class Headers(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.headers.append(self.headers)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Headers)
    server.headers = []
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def rehearsed(folder, asked, endpoint, rate="100%"):
    """Run the flow with a plan of its own; what it returned, and how many seconds it took."""
    plan = yaml.safe_load((ROOT / "deployments" / "plan.yaml").read_text())
    plan["monitoring"]["tracing"]["jaeger"]["sampling_rate"] = rate
    if endpoint:
        plan["telemetry"] = {"traces": {"endpoint": endpoint}}
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "secrets" / "redis").write_text("the-redis-password")
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    environment = {
        **os.environ, "DR_PLAN": str(path), "PREFECT_HOME": str(folder), "PYTHONPATH": f"{ROOT}:{UNIT}"
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(UNIT / "traced_flows.py"), f"http://127.0.0.1:{asked.server_port}/"],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, took = done.stdout.splitlines()
    return told, float(took)


def parsed(traceparent):
    """The trace, the span, and whether it is sampled: the lowest bit of the W3C's flags."""
    version, trace, span, flags = traceparent.split("-")
    assert version == "00"
    return trace, span, bool(int(flags, 16) & 1)


@pytest.fixture(scope="module")
def traced(tmp_path_factory, asked):
    """A run of which everything is traced: its spans, what its first program was told, what was asked."""
    with collector() as server:
        told, _ = rehearsed(tmp_path_factory.mktemp("traced"), asked, server.url)
    return server.spans, told, asked.headers[-1]["traceparent"]


def test_a_flow_run_is_a_trace_of_its_steps_and_calls(traced):
    spans, told, asked_with = traced
    names = {span.id: span.kind for span in spans}
    assert sorted((span.kind, names.get(span.parent, "")) for span in spans) == [
        ("POST 127.0.0.1", "look around"),
        ("ask for what is refused", "rehearse"),
        ("look around", "rehearse"),
        ("rehearse", ""),
        ("sh", "ask for what is refused"),
        ("sh", "look around"),
    ]
    assert len({span.trace for span in spans}) == 1
    assert {span.attributes["dr.incident"] for span in spans if span.kind in ("rehearse", "sh")} == {"inc-1"}
    # Whoever is called is told which trace it is part of, and that it is sampled.
    program = next(span for span in spans if span.kind == "sh" and span.status == OK)
    request = next(span for span in spans if span.kind == "POST 127.0.0.1")
    assert parsed(told) == (program.trace, program.id, True)
    assert parsed(asked_with) == (request.trace, request.id, True)


def test_an_error_is_recorded_without_its_secrets(traced):
    spans, _, _ = traced
    failed = {span.kind: span for span in spans if span.status == ERROR}
    assert set(failed) == {"ask for what is refused", "sh"}
    call = failed["sh"]
    assert "*** is wrong" in call.told
    assert "exit 3" in call.text
    assert (call.attributes["dr.site"], call.attributes["dr.host"]) == ("us-west-2", "postgres-dr-1")
    assert not [span.name for span in spans if "the-redis-password" in span.text]


@pytest.mark.long
def test_an_unsampled_run_sends_nothing_and_passes_that_on(tmp_path, asked):
    with collector() as server:
        told, _ = rehearsed(tmp_path, asked, server.url, rate="0%")
    assert server.spans == []
    assert parsed(told)[2] is False


@pytest.mark.long
def test_a_collector_that_is_absent_dead_or_slow_costs_little(tmp_path, asked):
    told, plain = rehearsed(tmp_path, asked, None)
    assert told == ""
    with collector() as dead:
        pass
    _, with_dead = rehearsed(tmp_path, asked, dead.url)
    with collector(slow_s=30) as slow:
        _, with_slow = rehearsed(tmp_path, asked, slow.url)
    sys.stdout.write(f"plain {plain}, dead {with_dead}, slow {with_slow}\n")
    assert max(with_dead, with_slow) < plain + 8


def test_incidents_and_drills_are_always_sampled_and_the_rest_as_the_plan_says():
    provider = TracerProvider(sampler=ParentBased(Sampling(0.001, [RECOVERY_POOL, DRILL_TAG])))
    tracer = provider.get_tracer("test")

    def sampled(tags, count):
        spans = [tracer.start_span("run", attributes={"prefect.tags": tags}) for _ in range(count)]
        return sum(span.get_span_context().trace_flags.sampled for span in spans)

    assert sampled(["naas-dr", RECOVERY_POOL], 500) == 500
    assert sampled(["naas-dr", "routine", DRILL_TAG], 500) == 500
    assert sampled([], 20_000) < 100  # 20 are due; 100 would be off by 18 deviations
    assert sampled([], 20_000) + sampled(["routine"], 20_000) > 5


def test_tags_tell_incidents_and_drills_apart_from_the_rest():
    assert RECOVERY_POOL in tags_of("flows.fail_over.fail_over")
    assert DRILL_TAG in tags_of("flows.drill_backup_restoration.drill_backup_restoration")
    assert not {RECOVERY_POOL, DRILL_TAG} & {*tags_of("flows.backup_redis.backup_redis")}
    assert tags_of("elsewhere.flow") == []
    drills = [item for item in DEPLOYMENTS if DRILL_TAG in item.tags]
    assert len(drills) == 4
