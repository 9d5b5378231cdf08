"""Who is told what, in which words."""

from datetime import timedelta

import pytest
from third_parties import INCIDENT, NOON

from infra.lab.home import DEFAULT_PLAN
from tasks.errors import Permanent
from tasks.facts.communication import Delivery
from tasks.plan.communication import Alerting
from tasks.plan.load import load_plan
from tasks.policy.communication import carriers, compose, furthest, repeated, stand_ins

ORDER = ("pagerduty", "slack", "email")
STAGES = ("opened", "declared", "failed", "recovered")


@pytest.fixture(scope="module")
def plan():
    return load_plan(DEFAULT_PLAN)


def with_template(plan, kind, text):
    templates = plan.communication_templates
    spoilt = getattr(templates, kind).model_copy(update={"template": text})
    return plan.model_copy(update={"communication_templates": templates.model_copy(update={kind: spoilt})})


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        ("opened", ("pagerduty",)),
        ("declared", ("pagerduty", "slack")),
        ("failed", ("pagerduty", "slack")),
        ("recovered", ("pagerduty", "slack")),
    ],
)
def test_the_shipped_plan_carries_each_stage_where_it_says(plan, stage, wanted):
    assert carriers(plan.alerting, stage) == wanted


def test_another_plan_carries_them_elsewhere(plan):
    channels = [{"email": "critical and warning alerts"}, {"slack": "info alerts"}]
    policies = plan.alerting.escalation_policies
    other = Alerting(escalation_policies=policies, notification_channels=channels)
    assert carriers(other, "opened") == ("email",)
    assert carriers(other, "recovered") == ("email", "slack")


@pytest.mark.parametrize(
    ("told", "following"),
    [
        ({"pagerduty": True}, ()),
        ({"pagerduty": False}, ("slack",)),
        ({"pagerduty": False, "slack": True}, ()),
        ({"pagerduty": True, "slack": False}, ("email",)),
        ({"pagerduty": False, "slack": False}, ("email",)),
        ({"email": False}, ("pagerduty",)),
        ({"slack": False, "email": False}, ("pagerduty",)),
        ({"pagerduty": False, "slack": False, "email": False}, ()),
    ],
)
def test_the_next_channel_stands_in_for_one_that_failed(told, following):
    assert stand_ins(ORDER, told) == following


@pytest.mark.parametrize("stage", STAGES)
def test_every_placeholder_is_filled(plan, stage):
    message = compose(plan, INCIDENT, stage, NOON, "Two orders were lost.")
    assert not {"[", "]"} & set(message.subject + message.text)
    assert "Two orders were lost." in message.text
    assert (message.incident, message.dedup_key) == (INCIDENT.id, INCIDENT.id)
    assert message.severity == ("info" if stage == "recovered" else "critical")


def test_the_seeds_words_with_the_incidents_values(plan):
    message = compose(plan, INCIDENT, "declared", NOON)
    assert message.subject == "Service Disruption - naas-api"
    assert "an issue with naas-api that began at 2026-11-23 12:00 UTC." in message.text
    assert "Current Status: A disaster was declared; the service is being moved" in message.text
    # The longest that a level of the critical escalation may take: 30 minutes.
    assert "Next Update: 2026-11-23 12:30 UTC" in message.text
    over = compose(plan, INCIDENT, "recovered", NOON + timedelta(minutes=3))
    assert over.subject == "Service Restored - naas-api"
    assert "has been resolved as of 2026-11-23 12:03 UTC." in over.text
    assert "Root Cause: power loss" in over.text


def test_a_cause_that_nobody_gave_is_said_to_be_unknown(plan):
    unknown = INCIDENT.model_copy(update={"reason": ""})
    assert "Root Cause: Not known yet" in compose(plan, unknown, "recovered", NOON).text


@pytest.mark.parametrize(
    ("kind", "asked", "stage"),
    [
        ("incident_notification", "resolution_time", "declared"),
        ("resolution_notification", "next_update_time", "recovered"),
    ],
)
def test_a_missing_value_is_refused_by_name(plan, kind, asked, stage):
    with pytest.raises(Permanent, match=asked):
        compose(with_template(plan, kind, f"At [{asked}]."), INCIDENT, stage, NOON)


def test_a_blank_value_is_missing(plan):
    nameless = INCIDENT.model_copy(update={"service": " "})
    with pytest.raises(Permanent, match="service_name"):
        compose(plan, nameless, "opened", NOON)


def test_a_subject_is_one_line_whatever_the_plan_says(plan):
    templates = plan.communication_templates
    two = templates.incident_notification.model_copy(update={"subject": "Down:\n[service_name]\nBcc: all"})
    spoilt = templates.model_copy(update={"incident_notification": two})
    plan = plan.model_copy(update={"communication_templates": spoilt})
    assert compose(plan, INCIDENT, "opened", NOON).subject == "Down: naas-api Bcc: all"


def delivery(outcome, seconds, channel="slack"):
    return Delivery(
        stage="opened", channel=channel, outcome=outcome, detail="", at=NOON + timedelta(seconds=seconds)
    )


def test_what_may_have_been_told_twice_is_said_where_it_can_be():
    assert repeated("slack", None) == ""
    assert "twice" in repeated("slack", delivery("sending", 0))
    assert "twice" in repeated("email", delivery("sending", 0))
    assert "twice" not in repeated("pagerduty", delivery("sending", 0))
    assert "twice" not in repeated("slack", delivery("failed", 0))


def test_sent_is_furthest_and_else_the_latest_counts():
    sent, failed, again = delivery("sent", 1), delivery("failed", 2), delivery("sending", 3)
    page = delivery("sending", 4, "pagerduty")
    assert furthest([page, failed, sent]) == [sent, page]
    assert furthest([again, failed]) == [again]
