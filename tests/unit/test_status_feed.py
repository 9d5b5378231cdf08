"""The status page's feed is a feed to strict readers, and what it names keeps its name."""

import re
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from status_notices import SETTINGS, minutes, notice, status
from test_status_page import HOSTILE

from tasks.plan.load import load_plan
from tasks.policy.status_feed import feed

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
ATOM = "{http://www.w3.org/2005/Atom}"
# RFC 3339, as RFC 4287 section 3.3 narrows it.
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
URN = re.compile(r"urn:uuid:[0-9a-f-]{36}")
ONCE = {"feed": ("id", "title", "updated", "author"), "entry": ("id", "title", "updated", "content")}
MORE = {"feed": {"link", "entry"}, "entry": {"link", "category", "published"}}


def flaws(document):
    """What a strict reader of RFC 4287 holds against a feed."""
    root = fromstring(document)  # noqa: S314 -- our own
    found = [] if root.tag == f"{ATOM}feed" else [f"the root is {root.tag}"]
    for element in (root, *root.iter(f"{ATOM}entry")):
        name = element.tag.removeprefix(ATOM)
        counts = Counter(child.tag.removeprefix(ATOM) for child in element)
        found += [f"{name} has {counts[child]} {child}" for child in ONCE[name] if counts[child] != 1]
        found += [f"{name} has {child}" for child in counts if child not in {*ONCE[name], *MORE[name]}]
        found += [
            f"{name} leads nowhere" for _ in range(not element.findall(f"{ATOM}link[@rel='alternate']"))
        ]
    dates = [e.text for tag in ("updated", "published") for e in root.iter(f"{ATOM}{tag}")]
    found += [f"the date {date}" for date in dates if not DATE.fullmatch(date)]
    ids = Counter(element.text for element in root.iter(f"{ATOM}id"))
    found += [f"the id {each} is {count} things'" for each, count in ids.items() if count > 1]
    found += [f"the id {each} is no IRI" for each in ids if not URN.fullmatch(each or "")]
    addresses = [element.get("href", "") for element in root.iter(f"{ATOM}link")]
    found += [f"no address: {each}" for each in addresses if not each.startswith("https://")]
    found += ["nobody wrote it" for _ in range(root.find(f"{ATOM}author/{ATOM}name") is None)]
    return found


def drawn(*notices, settings=SETTINGS):
    document = feed(PLAN, settings, status(*notices))
    assert flaws(document) == []
    return fromstring(document)  # noqa: S314 -- our own


def entries(root):
    return [(e.find(f"{ATOM}id").text, e.find(f"{ATOM}title").text) for e in root.iter(f"{ATOM}entry")]


def test_an_empty_feed_is_one_too():
    assert entries(drawn()) == []


def test_notices_are_entries_newest_first_one_a_language():
    both = {"en": "Back", "de": "Wieder da"}
    root = drawn(notice(), notice("inc-1/restored", at=minutes(9), subject=both, text=both))
    assert [title for _, title in entries(root)] == ["Back", "Wieder da", "Service Disruption - naas-api"]
    languages = [e.get("{http://www.w3.org/XML/1998/namespace}lang") for e in root.iter(f"{ATOM}entry")]
    assert languages == ["en", "de", "en"]


def test_an_entry_keeps_its_id_wherever_the_page_is_moved_and_whatever_comes_after():
    [first] = entries(drawn(notice()))
    moved = SETTINGS.model_copy(update={"address": "https://other.example/naas/", "title": "Other"})
    assert first in entries(drawn(notice(), notice("inc-1/update", at=minutes(5)), settings=moved))


def test_hostile_words_stay_words():
    root = drawn(notice(subject={"en": HOSTILE}, text={"en": HOSTILE}))
    content = root.find(f"{ATOM}entry/{ATOM}content")
    assert content.get("type") == "text"
    assert "<script>alert(1)</script>" in content.text
    assert list(content) == []


def test_a_thousand_notices_are_a_feed():
    assert len(entries(drawn(*(notice(f"inc-{n}/update", at=minutes(-n)) for n in range(1000))))) == 1000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"2026-11-27T12:00:00Z", b"27.11.2026"),
        (b"<title>", b"<title>a</title><title>"),
        (b"urn:uuid:", b"inc:"),
        (b'href="https:', b'href="javascript:'),
        (b"<author>", b"<editor/><author>"),
        (b'rel="alternate"', b'rel="self"'),
    ],
)
def test_the_strict_reader_finds_what_it_is_for(old, new):
    good = feed(PLAN, SETTINGS, status(notice()))
    assert flaws(good) == []
    assert flaws(good.replace(old, new, 1)) or flaws(good.replace(old, new))
