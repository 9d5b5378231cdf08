"""What the exporter says of an incident, by who was told of it, and of a planned move."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from third_parties import INCIDENT, NOON

from deployments.watchers import told_samples
from tasks.clients.truth import Truth
from tasks.facts.communication import Delivery
from tasks.facts.response import Alarm, Decision
from tasks.incidents import OnRecord

TOLD, MOVED = "dr_incident_told_timestamp_seconds", "dr_planned_move_timestamp_seconds"
ALARM = Alarm(
    incident=INCIDENT.id, site="us-east-1", reason="power loss", source="automated_monitoring", evidence="",
    detected_at=NOON, raised_at=NOON,
)  # fmt: skip
OPEN = Truth(active="us-west-2", epoch=1, incident=INCIDENT.id, previous="us-east-1", done=False)
ENDED = OPEN.model_copy(update={"done": True})


def record(truth=ENDED, alarm=ALARM, decision=None, case=None, report=None):
    return OnRecord(INCIDENT.id, truth, alarm, None, decision, case, report)


def delivered(channel, outcome="sent", after_s=0, stage="opened"):
    at = NOON + timedelta(seconds=after_s)
    return Delivery(stage=stage, channel=channel, outcome=outcome, detail="", at=at)


def at(after_s=0, **labels):
    return ({"site": "us-east-1", **labels}, NOON.timestamp() + after_s)


def test_an_alarm_that_waits_for_its_commanders_was_told_of():
    assert told_samples(record(), [delivered("pagerduty")]) == {TOLD: [at(channel="pagerduty")]}


def test_the_first_message_of_each_channel_counts():
    later = delivered("pagerduty", after_s=9, stage="declared")
    told = [later, delivered("pagerduty"), delivered("slack", after_s=5)]
    expected = [at(channel="pagerduty"), at(5, channel="slack")]
    assert told_samples(record(OPEN, case=INCIDENT), told) == {TOLD: expected}


@pytest.mark.parametrize("outcome", ["failed", "sending"])
def test_what_did_not_arrive_tells_nobody(outcome):
    assert told_samples(record(OPEN, case=INCIDENT), [delivered("pagerduty", outcome)]) == {TOLD: []}


def test_one_that_was_called_off_explains_nothing():
    refused = Decision.model_construct(outcome="refused")
    assert told_samples(record(decision=refused), [delivered("pagerduty")]) == {}
    assert told_samples(record(case=INCIDENT), [delivered("pagerduty")]) == {}


def test_one_that_has_recovered_still_explains_its_dead_site():
    report = SimpleNamespace(verdict="met")
    found = told_samples(record(case=INCIDENT, report=report), [delivered("pagerduty")])
    assert found == {TOLD: [at(channel="pagerduty")]}


def test_a_planned_move_is_no_incident():
    move = INCIDENT.model_copy(update={"kind": "switchover"})
    assert told_samples(record(OPEN, alarm=None, case=move), []) == {MOVED: [at()]}
