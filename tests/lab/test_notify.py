"""An incident is told through the lab's third parties, once, and is on record in its real stores."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from lab_handle import Lab

from tasks.clients import journal
from tasks.clients.objects import Bucket
from tasks.clients.records import keys, survivors
from tasks.evidence import read_deliveries
from tasks.facts.communication import Delivery
from tasks.facts.incident import Incident
from tasks.notify import notify

pytestmark = pytest.mark.lab


@pytest.fixture
def lab(shared_lab):
    return shared_lab()


@pytest.fixture
def incident(lab):
    """One of its own, and older than all others: it is nobody's latest."""
    now = datetime.now(UTC)
    return Incident(
        id=f"inc-00000101T000000Z-{uuid4().hex[:8]}",
        service=lab.plan.service.name,
        failed_site=lab.plan.site_of("primary"),
        to_site=lab.plan.site_of("dr"),
        epoch=1,
        reason="rehearsal",
        detected_at=now,
        triggered_at=now,
    )


def inbox(lab: Lab, incident):
    messages = (json.loads(line) for line in lab.dr("lab", "inbox", "--json").splitlines())
    return [message for message in messages if incident.id in json.dumps(message)]


def told(lab: Lab, incident):
    return sorted((m["channel"], m.get("action")) for m in inbox(lab, incident))


def outcomes(deliveries):
    return {delivery.channel: delivery.outcome for delivery in deliveries}


def test_a_lab_wakes_nobody(lab):
    channels, address = lab.plan.notifications, str(lab.plan.service.endpoint.address)
    webhook = (lab.home.directory / channels.slack.webhook.removeprefix("file:")).read_text()
    assert channels.pagerduty.endpoint.startswith(f"https://{address}:")
    assert webhook.startswith(f"https://{address}:")
    assert channels.email.smarthost.startswith(f"{address}:")


def test_an_incident_is_told_from_its_declaration_to_its_end_once(lab, incident):
    first = notify.fn(lab.plan, incident, "declared")
    over = notify.fn(lab.plan, incident, "recovered", note="Nothing was lost.")
    assert outcomes(first) == outcomes(over) == {"pagerduty": "sent", "slack": "sent"}
    expected = [("pagerduty", "resolve"), ("pagerduty", "trigger"), ("slack", None), ("slack", None)]
    assert told(lab, incident) == expected
    resumed = incident.model_copy(update={"resumed": True})
    assert notify.fn(lab.plan, resumed, "declared") == first
    assert notify.fn(lab.plan, resumed, "recovered") == over
    assert told(lab, incident) == expected
    record = sorted(read_deliveries(lab.plan, incident.id), key=lambda d: (d.stage, d.channel))
    assert record == sorted([*first, *over], key=lambda d: (d.stage, d.channel))
    shown = lab.dr("lab", "inbox")
    assert "pagerduty" in shown
    assert "Service Restored" in " ".join(shown.split())


def test_the_records_lie_in_the_surviving_sites_only(lab, incident):
    notify.fn(lab.plan, incident, "opened")
    folder = f"incidents/{incident.id}"
    for site in lab.plan.sites:
        found = list(keys(Bucket.owned(lab.plan, site), folder))
        assert len(found) == (2 if site in survivors(lab.plan, incident.failed_site) else 0)


def test_a_run_that_died_while_sending_is_told_of(lab, incident):
    begun = Delivery(stage="declared", channel="slack", outcome="sending", detail="", at=datetime.now(UTC))
    name = "notifications/declared/slack-sending.json"
    journal.write(lab.plan, incident.failed_site, incident.id, name, begun.model_dump_json())
    resumed = incident.model_copy(update={"resumed": True})
    deliveries = {d.channel: d for d in notify.fn(lab.plan, resumed, "declared")}
    assert "told twice" in deliveries["slack"].detail
    assert "twice" not in deliveries["pagerduty"].detail


def test_without_pagerduty_and_slack_mail_stands_in(lab, incident):
    channels = lab.plan.notifications
    nowhere = channels.pagerduty.model_copy(update={"endpoint": "https://127.0.0.10:9"})
    broken = channels.slack.model_copy(update={"webhook": "env:NOT_SET_ANYWHERE"})
    moved = channels.model_copy(update={"pagerduty": nowhere, "slack": broken})
    deliveries = notify.fn(lab.plan.model_copy(update={"notifications": moved}), incident, "opened")
    assert outcomes(deliveries) == {"pagerduty": "failed", "slack": "failed", "email": "sent"}
    assert told(lab, incident) == [("email", None)]
    assert outcomes(read_deliveries(lab.plan, incident.id)) == outcomes(deliveries)
