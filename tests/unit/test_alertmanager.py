"""A real Alertmanager with what is rendered, its channels leading to real receivers: who is told, and when.

The plan's timeouts are seconds here; how they become waits is the same.
"""

import time
from datetime import timedelta
from itertools import pairwise

import pytest
from alert_path import LEVEL_S, acknowledge, alertmanager, fire, hurried, recipients, told, until
from third_parties import ADDRESS

from infra.edge.edge import serving
from infra.edge.inbox import messages
from infra.platform import alertmanager as rendered

CRITICAL = ["on_call_engineer 1", "engineering_manager 2", "cto 3"]
WARNING = ["engineering_team_slack 1", "engineering_manager 2"]


@pytest.fixture
def client(plans, box, tmp_path, monkeypatch):
    monkeypatch.setitem(rendered._PERIODS, "daily", timedelta(seconds=LEVEL_S))
    with (
        serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp),
        alertmanager(hurried(plans.leading(web, web, smtp)), tmp_path) as client,
    ):
        yield client


def test_an_alert_that_nobody_takes_climbs_level_by_level(client, box):
    fire(client, "critical")
    until(lambda: len(told(box, "pagerduty")) == len(CRITICAL), "not every level was paged")
    assert recipients(box, "pagerduty", "critical") == CRITICAL
    times = [at for at, _ in told(box, "pagerduty")]
    waits = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert all(LEVEL_S - 1 < wait < LEVEL_S + 8 for wait in waits), waits
    assert {each["severity"] for each in messages(box) if each["channel"] == "pagerduty"} == {"critical"}
    assert told(box, "slack") == []


@pytest.mark.parametrize("level", [1, 2, 3])
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
