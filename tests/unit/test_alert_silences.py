"""Who is told nothing, and for how long: taken on by `dr alert ack`, in maintenance; and the heartbeat."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from alert_path import LEVEL_S, alertmanager, fire, hurried, recipients, told, until
from third_parties import ADDRESS
from typer.testing import CliRunner

from deployments import alert_commands
from deployments.cli import app
from infra.edge.edge import serving
from infra.platform import alertmanager as rendered
from infra.platform.quiet import time_intervals
from tasks.clients.alerts import Alertmanager
from tasks.errors import Refused, Transient
from tasks.plan.paging import Heartbeat
from tasks.plan.window import Window

HOUR = timedelta(hours=1)


@pytest.fixture
def edge(plans, box, monkeypatch):
    monkeypatch.setattr(rendered, "_AGAIN", "1s")
    with serving(ADDRESS, (0, 0), plans.tls, box) as ports:
        yield ports


@pytest.fixture
def plan(plans, edge):
    web, smtp = edge
    return hurried(plans.leading(web, web, smtp))


def window(begins, ends):
    return Window.model_validate(f"daily from {begins:%H:%M} to {ends:%H:%M} UTC")


@pytest.fixture
def client(plan, tmp_path, monkeypatch):
    with alertmanager(plan, tmp_path) as client:
        monkeypatch.setattr(alert_commands, "active_plan", lambda: plan)
        monkeypatch.setattr(
            alert_commands, "Alertmanager", lambda plan: there(plan, client.base_url.netloc.decode())
        )
        yield client


def there(plan, where):
    found = Alertmanager(plan)
    found._url = f"http://{where}/api/v2"
    return found


def dr(*words):
    done = CliRunner().invoke(app, ["alert", *words], env={"COLUMNS": "200"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_an_alert_that_is_taken_on_climbs_no_further_through_any_channel(client, box):
    fire(client, "critical")
    fire(client, "critical", alertname="Untold", untold="SiteUnhealthy", channel="pagerduty")
    until(lambda: told(box, "pagerduty") and told(box, "slack"), "nobody was told")
    answer = dr("ack", "SiteUnhealthy", "--site", "us-east-1", "--by", "ada")
    assert "ada has taken on SiteUnhealthy: nobody else is told for 4 hours" in answer
    before = len(told(box, "pagerduty")), len(told(box, "slack"))
    until(lambda: "yes" in dr("list"), "it is not shown as taken on")
    fire(client, "critical", site="us-west-2")
    until(lambda: len(told(box, "pagerduty")) >= before[0] + 3, "another site's alert does not climb")
    assert len(told(box, "pagerduty")) == before[0] + 3
    assert len(told(box, "slack")) == before[1]


def test_what_does_not_fire_cannot_be_taken_on(client):
    fire(client, "critical")
    until(lambda: "SiteUnhealthy" in dr("list"), "it does not fire")
    with pytest.raises(Refused, match="BackupOverdue does not fire") as raised:
        dr("ack", "BackupOverdue", "--by", "ada")
    assert "what fires: SiteUnhealthy" in str(raised.value)
    with pytest.raises(Refused, match="does not fire for eu-west-1"):
        dr("ack", "SiteUnhealthy", "--site", "eu-west-1", "--by", "ada")


def test_an_alertmanager_that_is_gone_is_said(plan):
    with pytest.raises(Transient, match="Alertmanager does not answer"):
        there(plan, f"{ADDRESS}:9").firing()


def test_in_maintenance_warnings_are_silent_and_criticals_are_not(plan, box, tmp_path):
    now = datetime.now(UTC)
    quiet = plan.model_copy(update={"maintenance": (window(now - HOUR, now + HOUR),)})
    with alertmanager(quiet, tmp_path) as client:
        fire(client, "warning")
        fire(client, "critical")
        until(lambda: len(told(box, "pagerduty")) >= 3, "not every level was paged")
    assert told(box, "slack") == []


def test_outside_of_maintenance_warnings_are_told(plan, box, tmp_path):
    now = datetime.now(UTC)
    later = plan.model_copy(update={"maintenance": (window(now + HOUR, now + 2 * HOUR),)})
    with alertmanager(later, tmp_path) as client:
        fire(client, "warning")
        until(lambda: told(box, "slack"), "the team was not told")
    assert recipients(box, "slack", "warning")[0] == "engineering_team_slack 1"


@pytest.mark.parametrize(
    ("words", "spans"),
    [
        ("saturday from 22:00 to 4:00 Europe/Berlin", [
            (["saturday"], "22:00", "24:00"), (["sunday"], "00:00", "04:00")]),
        ("monday and friday from 2:00 AM to 6:00 AM UTC", [(["monday", "friday"], "02:00", "06:00")]),
        ("sunday from 20:00 to 0:00 UTC", [(["sunday"], "20:00", "24:00")]),
    ],
)  # fmt: skip
def test_a_window_over_midnight_is_two_spans(plan, words, spans):
    quiet = plan.model_copy(update={"maintenance": (Window.model_validate(words),)})
    [named] = time_intervals(quiet)
    found = [
        (it["weekdays"], it["times"][0]["start_time"], it["times"][0]["end_time"])
        for it in named["time_intervals"]
    ]
    assert found == spans


def test_the_heartbeat_goes_out_while_alerts_can_be_told_and_stops_with_them(plan, edge, box, tmp_path):
    heart = Heartbeat.model_validate({"url": f"https://{ADDRESS}:{edge[0]}/heartbeat", "every": "1 second"})
    beating = plan.model_copy(
        update={"notifications": plan.notifications.model_copy(update={"heartbeat": heart})}
    )
    with alertmanager(beating, tmp_path) as client:
        fire(client, "none", alertname="Watchdog")
        until(lambda: len(told(box, "heartbeat")) >= 5, "no heartbeat")
    beats = [at for at, _ in told(box, "heartbeat")]
    between = sorted((later - at).total_seconds() for at, later in pairwise(beats))
    assert between[len(between) // 2] < 1.5, "it comes in every period"
    until(lambda: silent_for(box, LEVEL_S), "it goes on without Alertmanager")
    assert told(box, "pagerduty") == told(box, "slack") == []


def silent_for(box, seconds):
    return datetime.now(UTC) - told(box, "heartbeat")[-1][0] > timedelta(seconds=seconds)
