"""Who hears of a disaster where a channel is down, nobody acknowledges, or somebody does so late.

A real Prometheus with the plan's rules, a real Alertmanager, and channels that take messages, refuse them,
say nothing, or are dead. The plan's timeouts are seconds here.
"""

import time
from contextlib import contextmanager

import pytest
from alert_path import (
    LEVEL_S,
    acknowledge,
    alertmanager,
    exporting,
    fire,
    hurried,
    prometheus,
    recipients,
    told,
    until,
)
from third_parties import ADDRESS, answering, dead_port, silent

from infra.edge.edge import serving
from infra.edge.inbox import messages
from infra.platform import alertmanager as rendered

CRITICAL = ["on_call_engineer 1", "engineering_manager 2", "cto 3"]
WARNING = ["engineering_team_slack 1", "engineering_manager 2"]
ESCALATION = {
    "api_token": "file:secrets/pagerduty_api_token", "policy": "naas", "service": "naas-api",
    "recipients": {"on_call_engineer": "schedule PSCHED1", "engineering_manager": "user PMANAGE",
                   "cto": "user PCTO123"},
}  # fmt: skip
LOST = 'dr_site_healthy{site="us-east-1"} 0\n'
ARCHIVE_LOST = 'dr_site_healthy{site="eu-west-1"} 0\n'
WELL = 'dr_site_healthy{site="us-east-1"} 1\n'
ROUND_S = len(CRITICAL) * LEVEL_S


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch):
    monkeypatch.setattr(rendered, "_AGAIN", "1s")


@contextmanager
def path(plans, box, folder, measured, **down):
    """Prometheus, Alertmanager and the channels; `down` gives some other ports."""
    with serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp):
        ports = {"pagerduty": web, "slack": web, "email": smtp} | down
        plan = hurried(plans.leading(**ports))
        with (
            alertmanager(plan, folder) as client,
            exporting(measured) as exporter,
            prometheus(plan, folder, exporter, client.base_url.netloc.decode()),
        ):
            yield client


@contextmanager
def refusing(plans):
    with answering(plans.tls, (500, "{}", {})) as (port, _):
        yield port


@contextmanager
def dead(plans):
    yield dead_port()


@contextmanager
def hanging(plans):
    with silent() as port:
        yield port


def stood_in(box, channel, severity="critical"):
    """What a channel was told of what another one did not take."""
    return [it for it in recipients(box, channel, severity) if "summary" not in it]


long = pytest.mark.long


@pytest.mark.parametrize(
    "fault", [refusing, pytest.param(dead, marks=long), pytest.param(hanging, marks=long)]
)
def test_where_pagerduty_is_down_everybody_hears_through_the_other_channels(plans, box, tmp_path, fault):
    with fault(plans) as port, path(plans, box, tmp_path, LOST, pagerduty=port):
        until(lambda: len(stood_in(box, "slack")) >= len(CRITICAL), "not every level heard in chat", 60)
        until(lambda: len(stood_in(box, "email")) >= len(CRITICAL), "not every level got a mail", 60)
    assert stood_in(box, "slack")[: len(CRITICAL)] == CRITICAL
    times = [at for at, _ in told(box, "slack")]
    assert (times[2] - times[0]).total_seconds() > 2 * LEVEL_S - 1, "the levels keep their distance"
    assert "SiteUnhealthy us-east-1: pagerduty does not take it" in told(box, "slack")[0][1]
    assert told(box, "pagerduty") == []


@long
def test_whoever_takes_it_on_stops_the_ladder_of_the_other_channels_too(plans, box, tmp_path):
    with refusing(plans) as port, path(plans, box, tmp_path, LOST, pagerduty=port) as client:
        until(lambda: stood_in(box, "slack"), "nobody heard in chat", 60)
        acknowledge(client, "untold")
        acknowledge(client)
        time.sleep(ROUND_S)
    assert stood_in(box, "slack") == CRITICAL[:1]


@long
def test_where_chat_is_down_a_warning_goes_by_mail_and_wakes_nobody(plans, box, tmp_path):
    with dead(plans) as port, path(plans, box, tmp_path, ARCHIVE_LOST, slack=port):
        until(lambda: len(stood_in(box, "email", "warning")) >= len(WARNING), "not both heard by mail", 60)
    assert stood_in(box, "email", "warning")[: len(WARNING)] == WARNING
    assert told(box, "pagerduty") == []


@long
def test_channels_that_take_everything_need_no_other(plans, box, tmp_path):
    with path(plans, box, tmp_path, LOST):
        until(lambda: len(told(box, "pagerduty")) >= len(CRITICAL), "not every level was paged", 60)
    assert told(box, "slack") == []


def test_nobody_hears_where_all_is_well(plans, box, tmp_path):
    with path(plans, box, tmp_path, WELL):
        time.sleep(2 * LEVEL_S)
    assert told(box, "pagerduty") == told(box, "slack") == []


@pytest.fixture
def client(plans, box, tmp_path):
    with (
        serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp),
        alertmanager(hurried(plans.leading(web, web, smtp)), tmp_path) as client,
    ):
        yield client


def test_where_nobody_acknowledges_the_levels_are_gone_through_again(client, box):
    fire(client, "critical")
    until(lambda: len(told(box, "pagerduty")) >= len(CRITICAL) + 1, "nobody was told again")
    assert recipients(box, "pagerduty", "critical")[: len(CRITICAL) + 1] == [*CRITICAL, CRITICAL[0]]
    keys = {each["key"] for each in messages(box) if each["channel"] == "pagerduty"}
    assert len(keys) == 1, "for PagerDuty all of it is one alert"


@long
def test_whoever_takes_it_on_late_is_told_no_more_either(client, box):
    fire(client, "critical")
    until(lambda: len(told(box, "pagerduty")) == len(CRITICAL), "not every level was paged")
    acknowledge(client)
    time.sleep(ROUND_S + 2)
    assert len(told(box, "pagerduty")) == len(CRITICAL)


def test_a_warning_that_is_taken_on_in_chat_never_reaches_the_manager(client, box):
    fire(client, "warning")
    until(lambda: told(box, "slack"), "the team was not told")
    acknowledge(client)
    time.sleep(2 * LEVEL_S)
    assert recipients(box, "slack", "warning") == WARNING[:1]


def test_where_pagerduty_escalates_it_is_told_once_and_the_other_channels_still_climb(plans, box, tmp_path):
    with serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp):
        plan = hurried(plans.leading(web, web, smtp, pagerduty_settings={"escalation": ESCALATION}))
        with alertmanager(plan, tmp_path) as client:
            fire(client, "critical")
            fire(client, "critical", alertname="Untold", untold="SiteUnhealthy", channel="pagerduty")
            until(lambda: len(stood_in(box, "slack")) >= len(CRITICAL), "not every level heard in chat")
    assert recipients(box, "pagerduty", "critical") == CRITICAL[:1]
    assert stood_in(box, "slack")[: len(CRITICAL)] == CRITICAL
