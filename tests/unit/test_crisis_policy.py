"""What is said outside, to whom, in which order, and what people owe."""

from datetime import timedelta

import pytest
from third_parties import INCIDENT, NOON

from infra.lab.home import DEFAULT_PLAN
from tasks.errors import Permanent
from tasks.facts.crisis import Alerted, Crisis, Discharge, Ended, Telling
from tasks.plan.load import load_plan
from tasks.policy.crisis import due, notices, overtaken, waiting
from tasks.policy.crisis_page import crisis_pages, duty_message
from tasks.policy.crisis_words import form_of, moment, own_words, words_of
from tasks.policy.duties import duties, to_tell

MINUTE = timedelta(minutes=1)
BEGUN = Crisis(incident=INCIDENT)


@pytest.fixture(scope="module")
def plan():
    return load_plan(DEFAULT_PLAN)


@pytest.fixture(scope="module")
def policy(plan):
    return plan.crisis


def over(minutes, *, moved=True):
    return BEGUN.model_copy(update={"ended": Ended(at=NOON + minutes * MINUTE, moved=moved)})


def said(crisis, *discharges):
    given = tuple(
        Discharge(duty=duty, by="ada-lindqvist", at=NOON + minutes * MINUTE, words=words, word=word)
        for duty, minutes, words, word in discharges
    )
    return crisis.model_copy(update={"discharges": given})


def told(crisis, notice, audience, channel, outcome="sent", minutes=0.0):  # noqa: PLR0913
    telling = Telling(
        notice=notice, audience=audience, channel=channel, outcome=outcome, at=NOON + minutes * MINUTE
    )
    return crisis.model_copy(update={"tellings": (*crisis.tellings, telling)})


def phases(policy, crisis, minutes):
    found = notices(policy, crisis, NOON + minutes * MINUTE)
    return [(each.phase, (each.at - NOON) / MINUTE) for each in found]


def wanted(policy, crisis, minutes):
    return {
        (n.key.partition("-")[0], audience, channel)
        for n, audience, channel in due(policy, crisis, NOON + minutes * MINUTE)
    }


def all_told(policy, crisis, notice, minutes=0.0):
    for name, audience in policy.audiences.items():
        for channel in audience.channels:
            crisis = told(crisis, notice, name, channel, minutes=minutes)
    return crisis


def test_there_is_news_every_half_hour_until_it_is_over(policy):
    assert phases(policy, BEGUN, 65) == [("disrupted", 0), ("update", 30), ("update", 60)]
    assert phases(policy, over(40), 65) == [("disrupted", 0), ("update", 30), ("restored", 40)]
    assert phases(policy, over(30), 65) == [("disrupted", 0), ("restored", 30)]


def test_what_people_say_comes_at_once_and_moves_the_promise(policy):
    crisis = said(BEGUN, ("update", 10, "Half of it is restored.", "done"))
    assert phases(policy, crisis, 39) == [("disrupted", 0), ("update", 10)]
    assert phases(policy, crisis, 41) == [("disrupted", 0), ("update", 10), ("update", 40)]
    assert notices(policy, crisis, NOON + 39 * MINUTE)[-1].promised == NOON + 40 * MINUTE


def test_a_notice_keeps_its_key_whenever_it_is_reckoned(policy):
    early = notices(policy, BEGUN, NOON + 31 * MINUTE)
    late = notices(policy, BEGUN, NOON + 300 * MINUTE)
    assert late[: len(early)] == early
    assert len({notice.key for notice in late}) == len(late)


def test_an_audience_hears_in_order_and_each_channel_by_itself(policy):
    crisis = told(over(1), "disrupted", "customers", "email")
    found = wanted(policy, crisis, 2)
    assert ("restored", "customers", "email") in found
    assert ("disrupted", "customers", "sms") in found
    assert ("restored", "customers", "sms") not in found


def test_public_words_wait_for_their_approval_and_hold_back_what_follows(policy):
    assert not {channel for _, audience, channel in wanted(policy, over(1), 2) if audience == "public"}
    assert [audience for audience, _ in waiting(policy, over(1), NOON + 2 * MINUTE)] == ["public"]
    approved = said(over(1), ("approve/public/disrupted", 1, "", "done"))
    assert ("disrupted", "public", "x") in wanted(policy, approved, 2)
    assert not list(waiting(policy, approved, NOON + 2 * MINUTE))


def test_whose_beginning_was_refused_hears_of_no_end(policy):
    refused = said(over(1), ("approve/public/disrupted", 1, "", "refused"))
    assert not {each for each in wanted(policy, refused, 2) if each[1] == "public"}
    assert not list(waiting(policy, refused, NOON + 2 * MINUTE))


def test_old_updates_give_way_to_the_newest(policy):
    crisis = all_told(policy, BEGUN, "disrupted")
    found = [n for n, audience, _ in due(policy, crisis, NOON + 95 * MINUTE) if audience == "partners"]
    assert [(each.at - NOON) / MINUTE for each in found] == [90]
    passed = {(n.at - NOON) / MINUTE for n, _, _ in overtaken(policy, crisis, NOON + 95 * MINUTE)}
    assert passed == {30, 60}


def test_the_beginning_is_told_however_late(policy):
    assert ("disrupted", "partners", "email") in wanted(policy, over(5), 300)


def test_a_failed_channel_is_asked_again_after_a_while_and_another_stands_in(policy):
    changed = policy.audiences["partners"].model_copy(update={"otherwise": ("x",)})
    policy = policy.model_copy(update={"audiences": {"partners": changed}})
    crisis = told(BEGUN, "disrupted", "partners", "email", "failed", 0.05)
    assert wanted(policy, crisis, 0.06) == {("disrupted", "partners", "x")}
    assert wanted(policy, crisis, 0.2) == {("disrupted", "partners", "x"), ("disrupted", "partners", "email")}
    assert wanted(policy, told(BEGUN, "disrupted", "partners", "email"), 1) == set()


def test_whoever_is_at_it_is_left_alone_until_it_must_have_ended(policy):
    crisis = told(BEGUN, "disrupted", "partners", "email", "sending", 1)
    assert ("disrupted", "partners", "email") not in wanted(policy, crisis, 1.5)
    assert ("disrupted", "partners", "email") in wanted(policy, crisis, 2.1)


def test_the_seeds_words_in_the_readers_time(plan):
    first = notices(plan.crisis, BEGUN, NOON)[0]
    words = words_of(plan, BEGUN, first, zone="Europe/Berlin")
    assert words.subject == "Service Disruption - naas-api"
    assert "began at 2026-11-23 13:00 CET (2026-11-23 12:00 UTC)" in words.text
    assert "Next Update: 2026-11-23 13:30 CET" in words.text
    assert "power loss" not in words.text  # the operators' own words stay inside
    end = notices(plan.crisis, over(4), NOON + 5 * MINUTE)[-1]
    assert "resolved as of 2026-11-23 12:04 UTC" in words_of(plan, over(4), end).text


def test_it_says_that_the_service_stayed_where_it_was(plan):
    crisis = over(4, moved=False)
    end = notices(plan.crisis, crisis, NOON + 5 * MINUTE)[-1]
    assert "there again where it was" in words_of(plan, crisis, end).text


def test_no_notice_has_a_bare_placeholder(plan):
    crisis = said(over(70), ("update", 10, "We are at it.", "done"), ("review", 900, "A switch.", "done"))
    for notice in notices(plan.crisis, crisis, NOON + 1000 * MINUTE):
        words = words_of(plan, crisis, notice)
        assert not {"[", "]"} & set(words.subject + words.text)


@pytest.mark.parametrize(
    "text", ["", "  ", "x" * 5000, "it is [service_name]", "bell\a", "left\u202eright", "null\0"]
)
def test_what_may_not_be_said_is_refused(text):
    with pytest.raises(Permanent):
        own_words(text)


def test_plain_words_of_any_script_may_be_said():
    assert own_words(" 復旧中です。\nنعمل على ذلك ") == "復旧中です。\nنعمل على ذلك"


def test_values_are_not_read_as_templates(plan):
    sly = BEGUN.model_copy(update={"incident": INCIDENT.model_copy(update={"service": "[incident]"})})
    assert "[incident]" in words_of(plan, sly, notices(plan.crisis, sly, NOON)[0]).text


def owed(plan, crisis, minutes):
    return {duty.key: duty for duty in duties(plan, crisis, NOON + minutes * MINUTE)}


def test_what_is_owed_and_until_when(plan):
    found = owed(plan, over(5), 6)
    assert found["file/early-warning"].due == NOON + timedelta(hours=24)
    assert found["file/incident-notification"].due == NOON + timedelta(hours=72)
    assert found["call/largest-customer"].due == NOON + timedelta(hours=1)
    assert found["review"].due == NOON + 5 * MINUTE + timedelta(hours=48)
    assert "review" not in owed(plan, BEGUN, 6)


def test_where_the_service_stayed_nothing_is_owed_outside(plan):
    assert not {duty.kind for duty in duties(plan, over(5, moved=False), NOON + 6 * MINUTE)} & {
        "call",
        "file",
        "review",
    }


def test_people_are_reminded_then_alerted_then_told_that_it_is_settled(plan):
    def stages(crisis, hours):
        found = to_tell(plan, crisis, NOON + timedelta(hours=hours))
        return [told.stage for duty, told in found if duty.key == "file/early-warning"]

    def alerted(crisis, *known):
        marks = tuple(Alerted(duty="file/early-warning", stage=stage, at=NOON) for stage in known)
        return crisis.model_copy(update={"alerted": marks})

    assert stages(BEGUN, 11) == []
    assert stages(BEGUN, 13) == ["reminder"]
    assert stages(alerted(BEGUN, "reminder"), 13) == []
    assert stages(alerted(BEGUN, "reminder"), 25) == ["overdue"]
    assert stages(alerted(BEGUN, "reminder", "overdue"), 26) == []
    filed = said(BEGUN, ("file/early-warning", 1600, "", "done"))
    assert stages(alerted(filed, "reminder", "overdue"), 27) == ["settled"]
    assert stages(alerted(filed, "reminder"), 27) == []
    assert stages(alerted(filed, "reminder", "overdue", "settled"), 28) == []


def test_an_update_is_kept_once_it_reached_somebody_of_each_audience(plan):
    crisis = all_told(plan.crisis, BEGUN, "disrupted")
    key = "update/20261123T123030"
    assert owed(plan, crisis, 20)[key].done is None
    late = owed(plan, crisis, 32)[key]
    assert late.done is None
    assert late.due <= NOON + 32 * MINUTE
    crisis = said(crisis, ("approve/public/disrupted", 1, "", "done"))
    update = notices(plan.crisis, crisis, NOON + 31 * MINUTE)[-1]
    assert owed(plan, all_told(plan.crisis, crisis, update.key, 30), 32)[key].done is not None


def test_a_reminder_wakes_nobody_and_what_is_overdue_does(plan):
    duty = owed(plan, BEGUN, 6)["call/largest-customer"]
    late = duty_message(plan, BEGUN, duty, Alerted(duty=duty.key, stage="overdue", at=NOON))
    soon = duty_message(plan, BEGUN, duty, Alerted(duty=duty.key, stage="reminder", at=NOON))
    assert (late.severity, soon.severity) == ("critical", "info")
    assert late.dedup_key == soon.dedup_key != INCIDENT.id
    assert "sales@naas.ai" in late.text


def test_the_form_holds_what_the_regulator_asks(plan):
    form = form_of(plan.crisis.filings["incident-notification"], over(5))
    assert "Region lost: us-east-1; region that serves: us-west-2" in form
    assert "Cause as known: power loss" in form


def test_the_pages_show_what_there_is(plan):
    first = crisis_pages(plan, BEGUN, NOON + MINUTE)
    assert set(first) == {"duties", "words", "calls", "filings"}
    assert "approve/public/disrupted" in first["words"]
    later = crisis_pages(plan, all_told(plan.crisis, over(5), "disrupted"), NOON + 10 * MINUTE)
    assert "| 2026-11-23 12:05 UTC | ended | the service runs in us-west-2 |" in later["review"]


def test_moments_in_zones():
    assert moment(NOON, "Asia/Kolkata") == "2026-11-23 17:30 IST (2026-11-23 12:00 UTC)"
    assert moment(NOON) == "2026-11-23 12:00 UTC"
