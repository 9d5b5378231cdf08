"""Telling of an incident: whatever fails, somebody hears of it, once where that can be known, and soon."""

import time

import pytest
from prefect import flow
from third_parties import ADDRESS, INCIDENT, answering, dead_port, silent

import tasks.notify
from deployments.run import run
from infra.edge.edge import serving
from infra.edge.inbox import messages
from tasks.errors import Permanent, Transient
from tasks.facts.communication import Delivery
from tasks.notify import notify

RESUMED = INCIDENT.model_copy(update={"resumed": True})
BUSY = (429, "slower", {"Retry-After": 0})
FAILING = (500, "broken", {})


@pytest.fixture
def ports(plans, box):
    """Three channels that work."""
    with serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp):
        yield {"pagerduty": web, "slack": web, "email": smtp}


class Journal:
    """The records of an incident in memory; the lab's test has real stores."""

    def __init__(self):
        self.records = {}
        self.down = False

    def write(self, _plan, failed_site, incident, name, data):
        if self.down:
            raise Transient("no store takes it")
        assert failed_site == INCIDENT.failed_site
        self.records[incident, name] = data

    def read(self, _plan, incident, name, failed_site):
        if self.down:
            raise Transient("no store answers")
        assert failed_site == INCIDENT.failed_site
        return self.records.get((incident, name))

    def forget(self, outcome):
        self.records = {
            key: text for key, text in self.records.items() if not key[1].endswith(f"-{outcome}.json")
        }


@pytest.fixture(autouse=True)
def journal(monkeypatch):
    journal = Journal()
    monkeypatch.setattr(tasks.notify, "journal", journal)
    return journal


def tell(plan, stage, incident=INCIDENT):
    deliveries = notify.fn(plan, incident, stage)
    return {delivery.channel: delivery for delivery in deliveries}


def outcomes(deliveries):
    return {channel: delivery.outcome for channel, delivery in deliveries.items()}


def received(box):
    return [message["channel"] for message in messages(box)]


def test_each_stage_reaches_the_channels_that_carry_it(plans, ports, box):
    plan = plans.leading(**ports)
    assert outcomes(tell(plan, "opened")) == {"pagerduty": "sent"}
    for stage in ("declared", "failed", "recovered"):
        assert outcomes(tell(plan, stage)) == {"pagerduty": "sent", "slack": "sent"}
    pages = [message for message in messages(box) if message["channel"] == "pagerduty"]
    assert [page["action"] for page in pages] == ["trigger", "trigger", "trigger", "resolve"]
    assert {page["key"] for page in pages} == {INCIDENT.id}


def test_a_channel_that_asks_for_time_gets_it(plans, ports, box):
    taken = (202, '{"dedup_key": "it"}', {})
    with answering(plans.tls, BUSY, FAILING, taken) as (port, asked):
        told = tell(plans.leading(**ports | {"pagerduty": port}), "opened")
    assert outcomes(told) == {"pagerduty": "sent"}
    assert len(asked) == 3
    assert received(box) == []


def test_a_channel_that_asks_for_more_time_than_there_is_is_stood_in_for(plans, ports, box):
    with answering(plans.tls, (429, "slower", {"Retry-After": 60})) as (port, asked):
        told = tell(plans.leading(**ports | {"pagerduty": port}), "opened")
    assert outcomes(told) == {"pagerduty": "failed", "slack": "sent"}
    assert len(asked) == 1
    assert received(box) == ["slack"]


@pytest.mark.parametrize("answer", [FAILING, (400, "invalid event", {})])
def test_a_failing_channel_is_stood_in_for_and_told_of(plans, ports, box, answer):
    with answering(plans.tls, answer) as (port, asked):
        told = tell(plans.leading(**ports | {"pagerduty": port}), "opened")
    assert outcomes(told) == {"pagerduty": "failed", "slack": "sent"}
    assert str(answer[0]) in told["pagerduty"].detail
    # What may pass is tried again, what does not is not.
    assert (len(asked) > 1) == (answer is FAILING)
    assert received(box) == ["slack"]


def test_with_two_dead_channels_the_third_is_told(plans, ports, box):
    plan = plans.leading(**ports | {"pagerduty": dead_port(), "slack": dead_port()})
    assert outcomes(tell(plan, "declared")) == {"pagerduty": "failed", "slack": "failed", "email": "sent"}
    assert received(box) == ["email"]


def test_all_channels_silent_fails_nothing_and_takes_seconds_only(plans):
    with silent() as port:
        began = time.monotonic()
        told = tell(plans.leading(port, port, port), "opened")
        took = time.monotonic() - began
    assert outcomes(told) == dict.fromkeys(("pagerduty", "slack", "email"), "failed")
    assert took < 10


def test_a_silent_channel_holds_the_others_up_by_no_more_than_its_round(plans, ports, box):
    with silent() as port:
        began = time.monotonic()
        told = tell(plans.leading(**ports | {"pagerduty": port}), "declared")
    assert outcomes(told) == {"pagerduty": "failed", "slack": "sent"}
    assert time.monotonic() - began < 4


def test_a_resumed_run_tells_nothing_twice(plans, ports, box, journal):
    plan = plans.leading(**ports)
    first = tell(plan, "declared")
    assert tell(plan, "declared", RESUMED) == first
    assert sorted(received(box)) == ["pagerduty", "slack"]
    # Without its records it would have: the records are what holds it back.
    journal.records.clear()
    tell(plan, "declared", RESUMED)
    assert len(received(box)) == 4


def test_a_run_that_died_while_sending_sends_again_and_says_so(plans, ports, box, journal):
    plan = plans.leading(**ports)
    tell(plan, "declared")
    journal.forget("sent")
    again = tell(plan, "declared", RESUMED)
    assert outcomes(again) == {"pagerduty": "sent", "slack": "sent"}
    assert "twice" in again["slack"].detail
    assert "same key" in again["pagerduty"].detail
    keys = {message["key"] for message in messages(box) if message["channel"] == "pagerduty"}
    assert keys == {INCIDENT.id}


def test_what_failed_is_tried_again_by_a_resumed_run(plans, ports, box, journal):
    dead = plans.leading(**ports | {"pagerduty": dead_port()})
    assert outcomes(tell(dead, "opened")) == {"pagerduty": "failed", "slack": "sent"}
    again = tell(plans.leading(**ports), "opened", RESUMED)
    assert outcomes(again) == {"pagerduty": "sent"}
    assert "after it had failed" in again["pagerduty"].detail
    assert received(box) == ["slack", "pagerduty"]


def test_every_step_of_a_delivery_is_on_record(plans, ports, journal):
    tell(plans.leading(**ports | {"pagerduty": dead_port()}), "opened")
    names = {name: Delivery.model_validate_json(text) for (_, name), text in journal.records.items()}
    assert sorted(names) == [
        "notifications/opened/pagerduty-failed.json",
        "notifications/opened/pagerduty-sending.json",
        "notifications/opened/slack-sending.json",
        "notifications/opened/slack-sent.json",
    ]
    assert all(name.endswith(f"-{record.outcome}.json") for name, record in names.items())


def test_with_all_stores_down_people_are_told_and_know_that_it_is_not_on_record(plans, ports, box, journal):
    journal.down = True
    told = tell(plans.leading(**ports), "opened", RESUMED)
    assert outcomes(told) == {"pagerduty": "sent"}
    assert "not on record" in told["pagerduty"].detail
    assert "told before" in told["pagerduty"].detail
    assert received(box) == ["pagerduty"]


def test_a_store_that_does_not_answer_holds_nobody_up(plans, ports, box, journal, monkeypatch):
    monkeypatch.setattr(journal, "read", lambda *_: time.sleep(30))
    monkeypatch.setattr(journal, "write", lambda *_: time.sleep(30))
    began = time.monotonic()
    assert outcomes(tell(plans.leading(**ports), "opened")) == {"pagerduty": "sent"}
    assert time.monotonic() - began < 3.5


def test_a_missing_value_is_refused_before_anybody_is_told(plans, ports, box, journal):
    plan = plans.leading(**ports)
    templates = plan.communication_templates
    asking = templates.incident_notification.model_copy(update={"template": "Over at [resolution_time]."})
    spoilt = templates.model_copy(update={"incident_notification": asking})
    with pytest.raises(Permanent, match="resolution_time"):
        tell(plan.model_copy(update={"communication_templates": spoilt}), "declared")
    assert received(box) == []
    assert journal.records == {}


def test_no_secret_is_in_a_delivery_or_a_record(plans, journal):
    key = plans.secret("pagerduty_routing_key").strip()
    with answering(
        plans.tls, (400, f"no such key: {key}, /services/T0/B0/the-secret-of-the-webhook", {})
    ) as (port, _):
        told = tell(plans.leading(pagerduty=port, slack=port), "declared")
    whole = "".join(delivery.model_dump_json() for delivery in told.values()) + "".join(
        journal.records.values()
    )
    assert "no such key: ***" in whole
    for name, secret in {"pagerduty": key, "slack": "the-secret-of-the-webhook"}.items():
        assert secret not in told[name].detail


_here = {}


@flow
def tells(stage: str):
    """As a recovery does: what is submitted runs beside it, and is asked for at its end."""
    telling = notify.submit(_here["plan"], INCIDENT, stage)
    return [delivery.outcome for delivery in telling.result()]


def test_it_runs_beside_a_flow_with_no_prefect_server(plans, ports, box, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setitem(_here, "plan", plans.leading(**ports | {"pagerduty": dead_port()}))
    assert run(f"{__name__}.tells", {"stage": "opened"}) == ["failed", "sent"]
    assert received(box) == ["slack"]
