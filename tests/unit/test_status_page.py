"""The public status page says what is so, in everybody's words, and does nobody harm."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from pathlib import Path

import pytest
from pydantic import ValidationError
from status_notices import NOON, SETTINGS, Markup, minutes, notice, status

from tasks.plan.load import load_plan
from tasks.plan.status_page import StatusPage
from tasks.policy.status_documents import documents, held, status_json, with_held
from tasks.policy.status_page import current, merged, page, promised, said

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
BROKEN = notice()
UPDATE = notice("inc-1/update", at=minutes(10), next_update=minutes(40))
MENDED = notice("inc-1/restored", at=minutes(30))
HOSTILE = (
    '</style></p><script>alert(1)</script><img src=x onerror=alert(2)> <a href="javascript:alert(3)">x</a> '
    "{{ 7 * 7 }} ]]> \u202egnp.exe \x00\x1b[31m " + "w" * 5000
)


def shown(*notices, settings=SETTINGS, as_of=None):
    """The page as a strict reader takes it, without a fault."""
    markup = Markup(page(PLAN, settings, status(*notices, as_of=as_of)))
    assert markup.faults == []
    return markup


@pytest.mark.parametrize(
    ("notices", "state"),
    [
        ((), "operational"),
        ((BROKEN,), "disrupted"),
        ((BROKEN, UPDATE), "recovering"),
        ((MENDED, UPDATE, BROKEN), "operational"),
        ((BROKEN, UPDATE, MENDED, notice("inc-2/disrupted", at=minutes(5))), "disrupted"),
        ((BROKEN, MENDED, notice("inc-1/again", phase="disrupted", at=minutes(50))), "disrupted"),
    ],
)
def test_what_was_said_last_of_each_incident_is_so_and_the_worst_of_it(notices, state):
    assert current(status(*notices)) == state


def test_nothing_reported_is_not_called_healthy():
    text = shown().text
    assert "No disruption is reported" in text
    assert not re.search("operational|healthy|available", text, re.IGNORECASE)


def test_the_page_says_when_it_was_published_and_what_is_promised():
    text = shown(BROKEN, UPDATE, as_of=minutes(20)).text
    assert "disrupted, and being recovered" in text
    assert "As of 2026-11-27 12:20 UTC" in text
    assert "promised by 2026-11-27 12:40 UTC" in text
    assert "and is late" not in text


def test_a_promise_that_was_not_kept_is_called_late():
    assert "was promised by 2026-11-27 12:40 UTC, and is late" in shown(BROKEN, UPDATE).text


def test_the_earliest_promise_of_what_goes_on_stands_and_an_end_promises_nothing():
    other = notice("inc-2/disrupted", next_update=minutes(35))
    assert promised(status(UPDATE, other)) == minutes(35)
    assert promised(status(UPDATE, MENDED.model_copy(update={"next_update": minutes(90)}))) is None


def test_times_of_any_zone_are_told_in_utc():
    away = notice(at=datetime(2026, 11, 27, 14, tzinfo=timezone(timedelta(hours=2))))
    assert "2026-11-27 12:00 UTC" in shown(away).text
    with pytest.raises(ValidationError):
        notice(at=datetime(2026, 11, 27, 14))  # noqa: DTZ001 -- the fault


def test_what_goes_on_stands_before_what_has_ended():
    text = shown(BROKEN, MENDED, notice("inc-2/update", subject={"en": "Slow answers"}, at=minutes(1))).text
    assert text.index("Slow answers") < text.index("The 90 days before") < text.index("Service Disruption")
    assert "restored after 30 minutes" in text


def test_what_has_just_ended_lies_open():
    fresh = [each for each in shown(BROKEN, MENDED).elements if each[0] == "details"]
    old = [
        each for each in shown(BROKEN, MENDED, as_of=minutes(60 * 24 * 2)).elements if each[0] == "details"
    ]
    assert ["open" in attributes for _, attributes in fresh + old] == [True, False]


def test_the_page_keeps_ninety_days_and_what_goes_on_and_the_json_keeps_all():
    old = [
        notice(f"inc-{day}/{phase}", at=NOON - timedelta(days=day), subject={"en": f"Day {day} ago"})
        for day in range(1, 3650, 7)
        for phase in ("disrupted", "restored")
    ]
    ancient = notice("inc-x/update", at=NOON - timedelta(days=400), subject={"en": "Still slow"})
    markup = shown(*old, ancient)
    assert "Day 85 ago" in markup.text
    assert "Day 99 ago" not in markup.text
    assert "Still slow" in markup.text
    assert "509 earlier incidents" in markup.text
    told = json.loads(status_json(PLAN, SETTINGS, status(*old, ancient)))
    assert len(told["notices"]) == len(old) + 1


def test_a_thousand_notices_are_one_page():
    many = [notice(f"inc-1/update-{n}", phase="update", at=minutes(-n)) for n in range(1000)]
    assert shown(*many).text.count("Service Disruption") == 1000


@pytest.mark.parametrize("field", ["subject", "text"])
def test_hostile_words_are_shown_and_do_nothing(field):
    markup = shown(notice(**{field: {"en": HOSTILE}}), notice("inc-2/restored", **{field: {"en": HOSTILE}}))
    assert markup.links() == {"https://status.example.com", "feed.atom", "status.json"}
    assert "<script>alert(1)</script>" in markup.text
    assert "{{ 7 * 7 }}" in markup.text
    assert not set("\u202e\x00\x1b") & set(markup.text)
    assert "\ufffdgnp.exe" in markup.text


def test_hostile_settings_are_shown_and_do_nothing():
    settings = StatusPage(
        title=HOSTILE,
        address='https://x.example/"><script>1</script>',
        contact=HOSTILE,
        components={"a": HOSTILE},
    )
    assert shown(settings=settings).elements[-1][0] == "a"


def test_the_strict_reader_finds_what_it_is_for():
    for fault in (
        "<script></script>",
        "<p onclick=1></p>",
        "<p>",
        "</p>",
        "<img src=x>",
        "<p style='a'></p>",
    ):
        assert Markup(f"<main>{fault}</main>").faults


def test_nothing_may_run_or_be_loaded_and_only_our_own_style_applies():
    text = page(PLAN, SETTINGS, status(BROKEN))
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"@import|url\(|src=", text)


def test_every_language_is_told_with_its_name_english_first():
    words = {"de": "Störung", "en": "Disruption", "ar": "انقطاع الخدمة"}
    elements = shown(notice(subject=words, text=words)).elements
    told = [(each["lang"], each["dir"]) for tag, each in elements if tag == "div" and "lang" in each]
    assert told == [("en", "auto"), ("ar", "auto"), ("de", "auto")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": {}, "text": {}},
        {"subject": {"en": "a"}, "text": {"de": "b"}},
        {"subject": {'en" onclick="x': "a"}, "text": {'en" onclick="x': "a"}},
        {"subject": {"en": "  "}},
    ],
)
def test_a_notice_without_words_or_in_no_language_is_none(wrong):
    with pytest.raises(ValidationError):
        notice(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "http://status.example.com"},
        {"address": "javascript:alert(1)"},
        {"address": "https://user@status.example.com"},
        {"address": "https://status.example.com/?a"},
        {"title": " "},
        {"components": {"Bad Name": "x"}},
        {"colour": "red"},
    ],
)
def test_a_page_that_the_plan_cannot_mean_is_refused(wrong):
    with pytest.raises(ValidationError):
        StatusPage.model_validate(SETTINGS.model_dump() | wrong)


def test_the_services_of_the_plan_are_the_components_unless_it_says_others():
    assert "What this page speaks of naas-api" in shown().text
    named = SETTINGS.model_copy(update={"components": {"orders": "placing and reading orders"}})
    text = shown(settings=named).text
    assert "orders placing and reading orders" in text
    assert "naas-api" not in text


def test_a_notice_that_is_known_changes_nothing():
    known = status(BROKEN)
    assert said(known, BROKEN.model_copy(update={"at": minutes(1)}), minutes(90)) == known
    assert said(known, None, minutes(90)) == status(BROKEN, as_of=minutes(90))
    assert said(None, None, NOON) == status(as_of=NOON)
    assert said(known, UPDATE, minutes(90)).notices == (UPDATE, BROKEN)


def test_what_diverged_becomes_one_in_any_order():
    rival = BROKEN.model_copy(update={"at": minutes(2)})
    parts = [status(BROKEN, as_of=NOON), status(UPDATE, rival), status(MENDED, BROKEN, as_of=minutes(5))]
    whole = status(MENDED, UPDATE, BROKEN)
    for order in permutations(parts):
        assert merged(order) == whole
        assert merged([merged(order[:2]), *order]) == whole
    assert [each.content for each in documents(PLAN, SETTINGS, whole)] == [
        each.content for each in with_held(PLAN, SETTINGS, parts[0], state_of(merged(parts[1:])))
    ]


def state_of(known):
    return status_json(PLAN, SETTINGS, known).encode()


def strictly(pairs):
    assert len({name for name, _ in pairs}) == len(pairs), "a field twice"
    return dict(pairs)


def test_the_json_has_the_documented_fields_and_gives_back_what_was_said():
    known = merged([status(notice(text={"en": HOSTILE}), UPDATE)])
    content = state_of(known)
    told = json.loads(content, object_pairs_hook=strictly, parse_constant=pytest.fail)
    assert list(told) == [
        "version", "service", "title", "address", "contact", "components", "state", "as_of", "next_update",
        "notices",
    ]  # fmt: skip
    assert (told["version"], told["state"], told["service"]) == (1, "recovering", "naas-api")
    assert (told["as_of"], told["next_update"]) == ("2026-11-27T13:00:00Z", "2026-11-27T12:40:00Z")
    assert set(told["notices"][0]) == {"key", "incident", "phase", "at", "subject", "text", "next_update"}
    assert told["notices"][0]["at"] == "2026-11-27T12:10:00Z"
    assert held(content) == known


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"version": 1}',
        b'{"version": 2, "as_of": "2026-11-27T12:00Z"}',
    ],
)
def test_what_is_not_ours_is_not_believed(content):
    assert held(content) is None


def test_the_same_words_give_the_same_bytes():
    known = status(BROKEN, UPDATE, as_of=datetime.now(UTC))
    assert documents(PLAN, SETTINGS, known) == documents(PLAN, SETTINGS, known)
