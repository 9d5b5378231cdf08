"""The path of an alert with real programs: Prometheus with the rendered rules, Alertmanager, the channels."""

import os
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import yaml
from third_parties import ADDRESS, dead_port, running

from infra.edge.inbox import messages
from infra.platform.render import platform_files, platform_secrets
from tasks.plan.communication import Alerting
from tasks.plan.references import read_secret

LEVEL_S = 2


def hurried(plan):
    """The plan with every level's timeout of the same few seconds."""
    told = plan.alerting.model_dump(mode="json")
    for policy in told["escalation_policies"].values():
        for level in policy:
            level["timeout"] = f"{LEVEL_S} seconds"
    return plan.model_copy(update={"alerting": Alerting.model_validate(told)})


@contextmanager
def alertmanager(plan, folder):
    """Alertmanager as a plan configures it; yields a client of it."""
    files = {path: text for path, text in platform_files(plan).items() if path.startswith("alertmanager/")}
    secrets = {path: read_secret(plan.folder, it) for path, it in platform_secrets(plan).items()}
    for path, text in (files | secrets).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    where = f"{ADDRESS}:{dead_port()}"
    argv = ["prometheus-alertmanager", "--config.file=alertmanager.yml", "--cluster.listen-address=",
            f"--web.listen-address={where}", f"--storage.path={folder / 'data'}"]  # fmt: skip
    environment = {**os.environ, "SSL_CERT_FILE": str(plan.secret_path("ca_certificate"))}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, cwd=folder / "alertmanager", env=environment, stderr=log) as process,
        httpx.Client(base_url=f"http://{where}", timeout=5, trust_env=False) as client,
    ):
        try:
            until(lambda: answers(client), f"Alertmanager does not begin: {folder / 'log'}")
            yield client
        finally:
            process.kill()


def answers(client):
    try:
        return client.get("/-/ready").is_success
    except httpx.TransportError:
        return False


def until(holds, why, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def fire(client, severity, **labels):
    alert = {"labels": {"alertname": "SiteUnhealthy", "severity": severity, "site": "us-east-1", **labels},
             "annotations": {"summary": "The primary site is unhealthy"}}  # fmt: skip
    client.post("/api/v2/alerts", json=[alert]).raise_for_status()


def acknowledge(client, label="alertname"):
    """Whoever takes it on silences it; by `untold` what a channel did not take of it."""
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": label, "value": "SiteUnhealthy", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "on_call_engineer", "comment": "I am on it",
    }  # fmt: skip
    client.post("/api/v2/silences", json=silence).raise_for_status()


def told(box, channel):
    """What a channel was told of the alert, in order: when, and the recipient with its level."""
    found = [each for each in messages(box) if each["channel"] == channel]
    return [(datetime.fromisoformat(it["at"]), it["subject"] or it["text"]) for it in found]


def recipients(box, channel, severity):
    return [text.rpartition(f"{severity} ")[2] for _, text in told(box, channel)]


def quick_rules(plan):
    """The plan's rules with a loss that is one after a second."""
    failover = plan.high_availability.failover.model_copy(update={"detection_timeout": timedelta(seconds=1)})
    available = plan.high_availability.model_copy(update={"failover": failover})
    return platform_files(plan.model_copy(update={"high_availability": available}))[
        "prometheus/custom_rules.yml"
    ]


@contextmanager
def exporting(text):
    """An exporter of these metrics; yields where it answers."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer((ADDRESS, 0), Metrics)
    with running(server):
        yield f"{ADDRESS}:{server.server_port}"


@contextmanager
def prometheus(plan, folder, exporter, told):
    """Prometheus with the plan's rules over an exporter, which tells an Alertmanager; yields a client."""
    jobs = {"dr": exporter, "alertmanager": told}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [told]}]}]},
        "scrape_configs": [
            {"job_name": name, "honor_labels": name == "dr", "static_configs": [{"targets": [target]}]}
            for name, target in jobs.items()
        ],
    }
    (folder / "rules.yml").write_text(quick_rules(plan))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    where = f"{ADDRESS}:{dead_port()}"
    argv = ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={where}"]  # fmt: skip
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(argv, cwd=folder, stderr=log) as process,
        httpx.Client(base_url=f"http://{where}", timeout=5, trust_env=False) as client,
    ):
        try:
            until(partial(answers, client), f"Prometheus does not begin: {folder / 'prometheus.log'}")
            yield client
        finally:
            process.kill()
