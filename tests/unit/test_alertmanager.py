"""A real Alertmanager with what is rendered, its channels leading to real receivers: who is told, and when.

The plan's timeouts are seconds here; how they become waits is the same.
"""

import os
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest
from third_parties import ADDRESS, Plans, dead_port

from infra.edge.edge import serving
from infra.edge.inbox import messages
from infra.platform import monitoring
from infra.platform.render import platform_files, platform_secrets
from tasks.plan.communication import Alerting
from tasks.plan.references import read_secret

LEVEL_S = 2
CRITICAL = ["on_call_engineer 1", "engineering_manager 2", "cto 3"]
WARNING = ["engineering_team_slack 1", "engineering_manager 2"]


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plan"))


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


@pytest.fixture
def box(tmp_path):
    return tmp_path / "inbox.jsonl"


@pytest.fixture
def client(plans, box, tmp_path, monkeypatch):
    monkeypatch.setitem(monitoring._PERIODS, "daily", f"{LEVEL_S}s")
    with (
        serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp),
        alertmanager(hurried(plans.leading(web, web, smtp)), tmp_path) as client,
    ):
        yield client


def fire(client, severity):
    alert = {"labels": {"alertname": "SiteUnhealthy", "severity": severity, "site": "us-east-1"},
             "annotations": {"summary": "The primary site is unhealthy"}}  # fmt: skip
    client.post("/api/v2/alerts", json=[alert]).raise_for_status()


def acknowledge(client):
    """Whoever takes it on silences it."""
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "alertname", "value": "SiteUnhealthy", "isRegex": False, "isEqual": True}],
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


def test_an_alert_that_nobody_takes_climbs_level_by_level(client, box):
    fire(client, "critical")
    until(lambda: len(told(box, "pagerduty")) == len(CRITICAL), "not every level was paged")
    assert recipients(box, "pagerduty", "critical") == CRITICAL
    times = [at for at, _ in told(box, "pagerduty")]
    waits = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert all(LEVEL_S - 1 < wait < LEVEL_S + 8 for wait in waits), waits
    assert {each["severity"] for each in messages(box) if each["channel"] == "pagerduty"} == {"critical"}
    assert told(box, "slack") == []


@pytest.mark.parametrize("level", [1, 2])
def test_whoever_takes_it_on_stops_the_ladder(client, box, level):
    fire(client, "critical")
    until(lambda: len(told(box, "pagerduty")) == level, f"level {level} was not paged")
    acknowledge(client)
    time.sleep((len(CRITICAL) + 1 - level) * LEVEL_S)
    assert recipients(box, "pagerduty", "critical") == CRITICAL[:level]


def test_a_warning_goes_to_the_team_and_then_to_its_manager(client, box):
    fire(client, "warning")
    until(lambda: len(told(box, "slack")) == len(WARNING), "not both were told")
    assert recipients(box, "slack", "warning") == WARNING
    assert told(box, "pagerduty") == []


def test_the_summary_of_the_day_comes_by_mail(client, box):
    fire(client, "warning")
    until(lambda: told(box, "email"), "no mail came")
    [mail, *_] = [each for each in messages(box) if each["channel"] == "email"]
    assert mail["to"] == ["infrastructure@naas.ai"]
    assert "SiteUnhealthy" in mail["subject"]
