"""Flows with real steps and calls, for the traces' tests: `python traced_flows.py URL`."""

import sys
import time

import httpx
from prefect import flow

from deployments.run import run
from tasks.clients import command
from tasks.clients.http import request
from tasks.clients.parallel import answered, ask_all
from tasks.clients.telemetry.labels import labelled
from tasks.course import followed
from tasks.current import current_plan
from tasks.errors import Permanent
from tasks.facts.incident import Incident
from tasks.retry import retried

CASE = Incident(
    id="inc-1", service="naas-api", failed_site="us-east-1", to_site="us-west-2", epoch=1, reason="planted",
    detected_at="2026-11-27T08:00:00Z", triggered_at="2026-11-27T08:00:00Z",
)  # fmt: skip


@retried("look around", times=0)
def look_around(url: str) -> str:
    """A program, and a request from a thread of its own."""
    told = command.run(["sh", "-c", "echo $TRACEPARENT"], timeout=10)
    timeout = httpx.Timeout(5.0)
    answered(ask_all({url: lambda: request("POST", url, timeout=timeout, content=b"")}, 10)[url])
    return told.strip()


@retried("ask for what is refused", times=0)
def ask_for_what_is_refused() -> None:
    """A program that fails and tells a secret."""
    with labelled(site="us-west-2", host="postgres-dr-1"):
        command.run(["sh", "-c", "echo the-redis-password is wrong >&2; exit 3"], timeout=10)


@flow(persist_result=False)
def rehearse(url: str) -> str:
    """Two steps, the second of which fails."""
    current_plan()
    with followed(CASE):
        told = look_around(url)
        try:
            ask_for_what_is_refused()
        except Permanent:
            return told
    return ""


if __name__ == "__main__":
    began = time.monotonic()
    told = run("traced_flows.rehearse", {"url": sys.argv[1]})
    sys.stdout.write(f"{told}\n{time.monotonic() - began:.3f}\n")
