"""Told once, however often it is tried: what each public channel does with the same notice again."""

import json
import threading
import time
from dataclasses import replace

import pytest
from public_parties import DOWN, NUMBER, SUBSCRIBER, channels
from third_parties import ADDRESS, answering

from infra.edge.edge import serving
from infra.edge.faults import Faults
from infra.edge.inbox import messages
from tasks.clients.channels.failures import Busy
from tasks.clients.public import linkedin, mail, sms, statuspage, x
from tasks.errors import Permanent, Transient

LATER = replace(DOWN, key="inc-1/update/1", phase="update", text="We move to the other region.")
OVER = replace(DOWN, key="inc-1/restored/1", phase="restored", subject="Service Restored", text="It works.")
NOTICES = (DOWN, LATER, OVER)
SEED = 3


@pytest.fixture
def settings(plans, box):
    with serving(ADDRESS, (0, 0), plans.tls, box) as ports:
        yield channels(plans, *ports)


def test_the_status_page_has_one_incident_that_is_opened_updated_and_resolved(plans, box, settings):
    told = [statuspage.publish(plans.plan, settings.statuspage, words) for words in (DOWN, LATER, OVER)]
    assert len(set(told)) == 1
    lines = list(messages(box))
    assert [line["status"] for line in lines] == ["investigating", "identified", "resolved"]
    assert [line["components"]["api1"] for line in lines] == ["major_outage", "major_outage", "operational"]
    assert [line["text"] for line in lines] == [DOWN.text, LATER.text, OVER.text]


def test_the_status_page_is_told_the_same_once_even_after_the_end(plans, box, settings):
    for words in (DOWN, DOWN, LATER, DOWN, LATER, OVER, OVER, LATER):
        statuspage.publish(plans.plan, settings.statuspage, words)
    assert [line["text"] for line in messages(box)] == [DOWN.text, LATER.text, OVER.text]


def test_an_incident_that_is_over_is_not_opened_by_a_late_update(plans, box, settings):
    for words in (DOWN, OVER):
        statuspage.publish(plans.plan, settings.statuspage, words)
    with pytest.raises(Permanent, match="is over"):
        statuspage.publish(plans.plan, settings.statuspage, LATER)
    assert len(list(messages(box))) == 2


def test_whichever_notice_comes_first_opens_the_incident_and_others_stay_as_they_are(plans, box, settings):
    other = replace(DOWN, key="inc-2/1", incident="inc-2")
    ids = [statuspage.publish(plans.plan, settings.statuspage, words) for words in (other, OVER)]
    assert len(set(ids)) == 2
    assert [line["status"] for line in messages(box)] == ["investigating", "resolved"]


def test_a_page_that_does_not_show_the_notice_has_not_told_it(plans):
    other = {"id": "1", "status": "investigating", "metadata": {"naas_dr": {"incident": "inc-1", "told": []}}}
    answers = [(200, json.dumps([]), {}), (201, json.dumps(other), {})]
    with answering(plans.tls, *answers) as (port, asked), pytest.raises(Transient):
        statuspage.publish(plans.plan, channels(plans, port).statuspage, DOWN)
    assert len(asked) == 2


PUBLISH = {"statuspage": statuspage.publish, "x": x.publish, "linkedin": linkedin.publish}


@pytest.mark.parametrize("channel", PUBLISH)
def test_killed_between_the_post_and_its_record_it_is_still_told_once(plans, box, channel):
    answers = 2 if channel == "statuspage" else 1
    # The last request is taken and its answer never comes: what a killed sender knows of it.
    fates = iter([None] * (answers - 1) + ["mute"])
    faults = Faults()
    faults.next = lambda _channel: next(fates, None)
    with serving(ADDRESS, (0, 0), plans.tls, box, faults) as ports:
        settings = getattr(channels(plans, *ports), channel)
        with pytest.raises(Transient):
            PUBLISH[channel](plans.plan, settings, DOWN)
        assert PUBLISH[channel](plans.plan, settings, DOWN)
    assert len(list(messages(box))) == 1


def test_x_and_linkedin_know_a_post_again(plans, box, settings):
    first = linkedin.publish(plans.plan, settings.linkedin, DOWN)
    assert linkedin.publish(plans.plan, settings.linkedin, DOWN) == first
    x.publish(plans.plan, settings.x, DOWN)
    assert x.publish(plans.plan, settings.x, DOWN) == "posted before"
    assert len(list(messages(box))) == 2


def test_a_duplicate_of_what_is_no_post_is_not_told(plans):
    answer = (422, json.dumps({"message": "Content is a duplicate of urn:li:person:1"}), {})
    with answering(plans.tls, answer) as (port, _), pytest.raises(Permanent, match="refuses"):
        linkedin.publish(plans.plan, channels(plans, port).linkedin, DOWN)


def test_another_403_of_xs_is_no_duplicate(plans):
    answer = (403, json.dumps({"detail": "You are not permitted to perform this action."}), {})
    with answering(plans.tls, answer) as (port, _), pytest.raises(Permanent, match="not permitted"):
        x.publish(plans.plan, channels(plans, port).x, DOWN)


def test_a_signature_by_wrong_keys_is_refused(plans, box, settings):
    keys = json.loads(plans.secret("x"))
    for name in ("consumer_secret", "access_token_secret", "consumer_key", "access_token"):
        plans.write("x", json.dumps(keys | {name: "wrong"}))
        with pytest.raises(Permanent, match="401"):
            x.publish(plans.plan, settings.x, DOWN)
    plans.write("x", json.dumps(keys))
    x.publish(plans.plan, settings.x, DOWN)
    assert len(list(messages(box))) == 1


RATE = {"busy": 0.15, "broken": 0.15, "gone": 0.15, "mute": 0.15}
RATES = {"statuspage": RATE, "x": RATE, "linkedin": RATE}


def patiently(send, *args):
    """Tried until it is told; the waits that are asked for are not kept here."""
    kinds = set()
    for _ in range(200):
        try:
            return send(*args), kinds
        except Transient as error:
            kinds.add(type(error))
    raise AssertionError


@pytest.mark.parametrize("channel", PUBLISH)
def test_through_any_faults_each_notice_is_told_once_and_in_order(plans, box, channel):
    with serving(ADDRESS, (0, 0), plans.tls, box, Faults(RATES, SEED)) as ports:
        settings = getattr(channels(plans, *ports), channel)
        tries = [patiently(PUBLISH[channel], plans.plan, settings, words) for words in NOTICES]
    texts = [
        line["text"].removeprefix(f"{words.subject}\n")
        for line, words in zip(messages(box), NOTICES, strict=True)
    ]
    assert texts == [words.text for words in NOTICES]
    assert {kind for _, kinds in tries for kind in kinds} == {Busy, Transient}


@pytest.mark.parametrize("fault", ["busy", "broken", "gone", "mute"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_each_fault_of_what_cannot_be_told_once_is_transient(plans, box, channel, fault):
    with serving(ADDRESS, (0, 0), plans.tls, box, Faults({channel: {fault: 1.0}})) as ports:
        settings = channels(plans, *ports)
        module, to = {"email": (mail, SUBSCRIBER), "sms": (sms, NUMBER)}[channel]
        with pytest.raises(Transient):
            module.send(plans.plan, getattr(settings, channel), DOWN, to)
    assert len(list(messages(box))) == (fault == "mute")


def test_a_seed_repeats_the_faults_of_each_channel_whatever_the_others_do():
    faults, again, other = Faults(RATES, SEED), Faults(RATES, SEED), Faults(RATES, SEED + 1)
    fates = [faults.next("x") for _ in range(50)]
    mixed = []
    for _ in range(50):
        again.next("linkedin")
        mixed.append(again.next("x"))
    assert fates == mixed
    assert {None, "busy", "broken", "gone", "mute"} == set(fates)
    assert fates != [other.next("x") for _ in range(50)]


def test_many_at_once_are_all_told(plans, box, settings):
    """Amazon's clients are made in one session; several threads ask for one at the same moment."""
    numbers = [f"+49301234{number:03}" for number in range(12)]
    threads = [
        threading.Thread(target=sms.send, args=(plans.plan, settings.sms, DOWN, number)) for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(line["to"] for line in messages(box)) == numbers


def test_the_clock_of_a_signature_counts(plans, settings, monkeypatch):
    now = time.time()
    monkeypatch.setattr("authlib.oauth1.rfc5849.client_auth.generate_timestamp", lambda: str(int(now) - 900))
    with pytest.raises(Permanent, match="401"):
        x.publish(plans.plan, settings.x, DOWN)
