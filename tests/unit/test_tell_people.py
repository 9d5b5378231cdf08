"""Subscribers are told each once; what a channel refuses to all of them is not their fault."""

import pytest
from memory_etcd import etcd_of_speakers
from memory_journal import Journal
from public_parties import channels
from third_parties import ADDRESS, INCIDENT, NOON, answering

import tasks.crisis_record
from infra.edge.edge import serving
from infra.edge.inbox import messages
from tasks.facts.crisis import Crisis, Notice
from tasks.plan.crisis import CrisisCommunication
from tasks.plan.public_channels import PublicChannels
from tasks.speaker import Silenced, Speaker
from tasks.tell_people import tell_people

BEGUN = Crisis(incident=INCIDENT)
NOTICE = Notice(key="disrupted", phase="disrupted", at=NOON, promised=NOON)
TAKEN = (200, '{"MessageId": "1"}', {})
REFUSED = (403, '{"message": "the key was withdrawn"}', {})
BAD = (400, '{"message": "Illegal address"}', {})


@pytest.fixture(autouse=True)
def journal(monkeypatch):
    journal = Journal()
    monkeypatch.setattr(tasks.crisis_record, "journal", journal)
    return journal


@pytest.fixture
def telling(plans):
    """Tell people by Amazon's mail at a port, or by SMTP at one."""

    def tell(people, port=9, *, by="ses", translations=None, speaks=None):
        rows = "".join(f"email,{address},{language},\n" for address, language in people)
        (plans.folder / "crowd.csv").write_text(f"channel,address,language,timezone\n{rows}")
        there = channels(plans, port, port).model_dump(mode="json", exclude_none=True)
        if by == "ses":
            amazon = {name: there["sms"][name] for name in ("region", "credentials", "endpoint")}
            there["email"] = {"sender": "status@example.org", "ses": amazon}
        crisis = plans.plan.crisis.model_dump(mode="json", exclude_none=True)
        crisis["channels"] = PublicChannels.model_validate(there).model_dump(mode="json", exclude_none=True)
        crisis["audiences"] = {"customers": {"channels": ["email"], "subscribers": "file:crowd.csv"}}
        crisis["translations"] |= translations or {}
        plan = plans.plan.model_copy(
            update={"crisis_communication": CrisisCommunication.model_validate(crisis)}
        )
        return tell_people(plan, BEGUN, NOTICE, "customers", "email", speaks or Speaker(plan))

    return tell


def crowd(count):
    return [(f"customer{number}@example.org", "") for number in range(count)]


def test_a_withdrawn_key_is_nobodys_refusal_and_all_are_told_once_it_is_mended(plans, telling):
    with answering(plans.tls, REFUSED) as (port, asked):
        told = telling(crowd(100), port)
        assert told.outcome == "failed"
        assert told.detail.startswith("100 of 100 are not told yet: ")
        assert "403" in told.detail
    assert len(asked) == 32  # a channel that takes nothing is left alone
    with answering(plans.tls, TAKEN) as (port, asked):
        assert telling(crowd(100), port).outcome == "sent"
    assert len(asked) == 100


def test_a_key_that_is_withdrawn_halfway_leaves_the_rest_for_later(plans, telling):
    with answering(plans.tls, *[TAKEN] * 16, REFUSED) as (port, _):
        assert telling(crowd(100), port).people == 16
    with answering(plans.tls, TAKEN) as (port, asked):
        told = telling(crowd(100), port)
    assert (told.outcome, told.people, len(asked)) == ("sent", 100, 84)


@pytest.mark.parametrize("before", [0, 16])
def test_one_whom_the_channel_refuses_among_others_is_counted_and_not_asked_for_again(plans, telling, before):
    with answering(plans.tls, *[TAKEN] * before, BAD, TAKEN) as (port, _):
        told = telling(crowd(before + 5 if before == 0 else before + 1), port)
    assert (told.outcome, told.detail.partition(" were")[0]) == (
        "sent",
        "1 of 5" if before == 0 else "1 of 17",
    )


def test_what_is_no_address_is_refused_though_nobody_else_is_there(telling):
    told = telling([("nobody", "")])
    assert (told.outcome, told.people) == ("sent", 0)


def test_who_left_the_list_does_not_stand_for_who_was_not_told(plans, telling):
    with answering(plans.tls, *[TAKEN] * 16, REFUSED) as (port, _):
        telling(crowd(20), port)
    with answering(plans.tls, REFUSED) as (port, _):
        told = telling(crowd(20)[10:], port)
    assert (told.outcome, told.detail.partition(":")[0]) == ("failed", "4 of 10 are not told yet")


def test_words_that_cannot_be_said_in_a_language_are_said_in_the_plans_own(plans, telling, box):
    long = {"subject": "x" * 300, "template": "zu lang"}
    wording = plans.plan.crisis.translations["de"].model_dump(mode="json") | {"incident_notification": long}
    with serving(ADDRESS, (0, 0), plans.tls, box) as (_, smtp):
        told = telling(
            [("lea@example.org", "de"), ("ada@example.org", "")],
            smtp,
            by="smtp",
            translations={"de": wording},
        )
    assert told.outcome == "sent"
    assert {line["subject"] for line in messages(box)} == {"Service Disruption - naas-api"}


def test_a_speaker_that_has_lost_its_place_tells_nobody_more_and_the_next_one_the_rest(
    plans, telling, monkeypatch
):
    etcd = etcd_of_speakers(monkeypatch)
    speaks = Speaker(plans.plan)
    assert speaks.other(INCIDENT.id) == ""
    with answering(plans.tls, TAKEN) as (port, asked):
        assert telling(crowd(16), port, speaks=speaks).people == 16
        etcd.end_all()
        speaks._until = 0.0  # it stood still for longer than its lease
        with pytest.raises(Silenced):
            telling(crowd(40), port, speaks=speaks)
        assert len(asked) == 16
        told = telling(crowd(40), port)
    assert (told.outcome, told.people, told.detail, len(asked)) == ("sent", 40, "", 40)


def test_whoever_was_not_told_because_the_place_was_lost_is_not_refused(plans, telling, monkeypatch):
    class Losing(Speaker):
        left = 20

        def lost(self):
            self.left -= 1
            return self.left < 0

    with answering(plans.tls, TAKEN) as (port, asked):
        with pytest.raises(Silenced):
            telling(crowd(40), port, speaks=Losing(plans.plan))
        assert len(asked) < 40
        told = telling(crowd(40), port)
    assert (told.outcome, told.people, told.detail, len(asked)) == ("sent", 40, "", 40)
