"""A disaster is told outside through the lab's third parties, in order and once; what people owe is kept."""

import json
import os
import ssl
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import reports
from waiting import until

from infra.lab.control import client_settings
from tasks.clients import journal
from tasks.clients.status_store import url_of
from tasks.crisis_record import read_crisis, write_discharge
from tasks.facts.crisis import Discharge
from tasks.facts.incident import Incident

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SPEAKER = Path(__file__).with_name("killed_speaker.py")
BEGUN = "disrupted"
# A killed run that had sent, and had not said so: nobody can know, and silence would be worse.
REPEATABLE = {"email", "sms"}


@pytest.fixture
def lab(shared_lab):
    return shared_lab()


@pytest.fixture
def case(lab):
    """A disaster of its own, and older than all others: the lab's own loop leaves it alone."""
    return begun(lab)


def begun(lab):
    now = datetime.now(UTC)
    plan = lab.plan
    incident = Incident(
        id=f"inc-00000101T000000Z-{uuid4().hex[:8]}",
        service=f"naas-{uuid4().hex[:8]}",
        failed_site=plan.site_of("primary"),
        to_site=plan.site_of("dr"),
        epoch=1,
        reason="the operators' own words",
        detected_at=now,
        triggered_at=now,
    )
    journal.write(plan, incident.failed_site, incident.id, "incident.json", incident.model_dump_json())
    return incident


def end(lab, case):
    told = reports.report(
        incident=case.id, failed_site=case.failed_site, to_site=case.to_site, recovered_at=datetime.now(UTC)
    )
    journal.write(lab.plan, case.failed_site, case.id, "report.json", told.model_dump_json())


def approve(lab, case):
    said = Discharge(duty=f"approve/public/{BEGUN}", by="ada-lindqvist", at=datetime.now(UTC))
    write_discharge(lab.plan, case, said)


def inform(lab, case):
    return lab.dr("run", "inform", "--param", f"incident={case.id}")


def inbox(lab, case):
    messages = (json.loads(line) for line in lab.dr("lab", "inbox", "--json").splitlines())
    return [each for each in messages if case.service in json.dumps(each)]


def told(messages):
    """Each message as (channel, to whom, in which words), how often it came.

    An incident at Statuspage keeps its name; what is said of it is its status.
    """
    return Counter(
        (each["channel"], str(each.get("to", "")), each.get("status") or each["subject"]) for each in messages
    )


def expected(english, german, status):
    """Everything that the plan says is told, of the beginning or the end."""
    mail = [
        (f"{who}@{audience}.example", words)
        for audience in ("customers", "partners")
        for who, words in (("ada", english), ("kenji", english), ("lea", german))
    ]
    return Counter(
        [
            ("statuspage", "", status),
            ("x", "", english),
            ("linkedin", "", english),
            ("sms", "+15550101", english),
            *(("email", f"['{address}']", words) for address, words in mail),
        ]
    )


def beginning(case):
    return expected(f"Service Disruption - {case.service}", f"Störung - {case.service}", "investigating")


def ending(case):
    return expected(f"Service Restored - {case.service}", f"Wiederhergestellt - {case.service}", "resolved")


def page(lab, site):
    trust = ssl.create_default_context(cafile=lab.plan.secret_path("ca_certificate"))
    answer = httpx.get(url_of(lab.plan, site), verify=trust, timeout=10)
    return answer.text if answer.status_code == httpx.codes.OK else ""


def test_a_disaster_is_told_from_its_beginning_to_its_end_in_order_and_once(lab, case):
    inform(lab, case)
    first = inbox(lab, case)
    waiting = {"x", "linkedin"}
    assert told(first) == Counter({key: n for key, n in beginning(case).items() if key[0] not in waiting})
    assert "approve/public/disrupted" in lab.dr("incident", "duties", case.id)
    refused = lab.attempt(
        "incident", "discharge", case.id, "approve/public/disrupted", "--by", "mallory", "--here"
    )
    assert refused.returncode == 2
    assert "mallory does not owe" in refused.stderr
    lab.dr("incident", "discharge", case.id, "approve/public/disrupted", "--by", "ada-lindqvist", "--here")
    inform(lab, case)
    assert told(inbox(lab, case)) == beginning(case)
    lab.dr(
        "incident", "discharge", case.id, "update", "--by", "ada-lindqvist", "--here",
        "--words", "Orders are taken again; the list is still slow.",
    )  # fmt: skip
    inform(lab, case)
    updates = [each for each in inbox(lab, case) if each["subject"].endswith(("update", "neuer Stand"))]
    assert updates
    assert all("the list is still slow" in each["text"] for each in updates if each["channel"] == "email")
    end(lab, case)
    inform(lab, case)
    inform(lab, case)
    everything = inbox(lab, case)
    assert told(everything) - told(first) >= ending(case)
    assert set(told(everything).values()) == {1}
    assert_in_order(everything)
    assert "operators' own words" not in json.dumps(everything)


def assert_in_order(messages):
    """Nobody hears of the end before the beginning."""
    for who in {(each["channel"], str(each.get("to", ""))) for each in messages}:
        heard = [
            m.get("status") or m["subject"] for m in messages if (m["channel"], str(m.get("to", ""))) == who
        ]
        ends = [
            at for at, words in enumerate(heard) if words.startswith(("Service Rest", "Wieder", "resolved"))
        ]
        assert ends == [len(heard) - 1], who


def test_readers_find_it_on_the_surviving_sites_page_in_their_language(lab, case):
    inform(lab, case)
    for site in (case.to_site, lab.plan.site_of("archive")):
        shown = page(lab, site)
        assert case.service in shown
        assert f"Störung - {case.service}" in shown
    assert case.service not in page(lab, case.failed_site)


def test_each_reads_the_times_of_their_own_zone(lab, case):
    inform(lab, case)
    mails = {str(m["to"]): m["text"] for m in inbox(lab, case) if m["channel"] == "email"}
    assert " JST (" in mails["['kenji@customers.example']"]
    assert " CET (" in mails["['lea@partners.example']"] or " CEST (" in mails["['lea@partners.example']"]


def test_a_planned_move_is_told_nobody_outside(lab, case):
    moved = case.model_copy(update={"kind": "switchover"})
    journal.write(lab.plan, case.failed_site, case.id, "incident.json", moved.model_dump_json())
    inform(lab, case)
    assert inbox(lab, case) == []
    assert lab.attempt("incident", "duties", case.id).returncode == 2


@pytest.mark.long
def test_what_is_overdue_pages_once_and_is_settled_when_it_is_done(lab, case):
    late = case.model_copy(update={"triggered_at": case.triggered_at - timedelta(hours=2)})
    journal.write(lab.plan, case.failed_site, case.id, "incident.json", late.model_dump_json())
    end(lab, case)
    inform(lab, case)
    inform(lab, case)
    key = f"{case.id}.call/largest-customer"
    assert [m["action"] for m in pages(lab, key)] == ["trigger"]
    lab.dr("incident", "discharge", case.id, "call/largest-customer", "--by", "sales@naas.ai", "--here")
    inform(lab, case)
    inform(lab, case)
    assert [m["action"] for m in pages(lab, key)] == ["trigger", "resolve"]


def pages(lab, key):
    messages = (json.loads(line) for line in lab.dr("lab", "inbox", "--json").splitlines())
    return [each for each in messages if each["channel"] == "pagerduty" and each["key"] == key]


def speak(lab, case, number):
    """The flow, killed at its moment NUMBER; how many there were where it was not."""
    environment = os.environ | client_settings(lab.home, lab.plan)
    argv = [sys.executable, str(SPEAKER), case.id, str(number)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode < 0) == (number > 0 and not done.stdout), done.stderr[-2000:]
    return int(done.stdout) if done.stdout else None


def assert_told_once(lab, case):
    found, wanted = told(inbox(lab, case)), beginning(case) + ending(case)
    assert found.keys() == wanted.keys()
    twice = {key for key, count in found.items() if count > 1}
    assert {channel for channel, _, _ in twice} <= REPEATABLE
    assert max(found.values()) <= 2
    mails = [m["id"] for m in inbox(lab, case) if m["channel"] == "email"]
    assert len(set(mails)) == sum(1 for channel, _, _ in wanted if channel == "email")
    assert all(each.settled for each in read_crisis(lab.plan, case.id).tellings)
    return twice


def killed_at(lab, number):
    case = approved_and_ended(lab)
    assert speak(lab, case, number) is None
    settled(lab, case)
    return assert_told_once(lab, case)


def moments(lab):
    case = approved_and_ended(lab)
    count = speak(lab, case, 0)
    settled(lab, case)
    assert assert_told_once(lab, case) == set()
    return count


def approved_and_ended(lab):
    case = begun(lab)
    approve(lab, case)
    end(lab, case)
    return case


def settled(lab, case):
    """Run it as the lab's loop does, until all is told: a busy machine's channel may have failed once."""
    crisis = lab.plan.crisis
    wanted = 2 * sum(len(audience.channels) for audience in crisis.audiences.values())

    def told_all():
        speak(lab, case, 0)
        return sum(each.settled for each in read_crisis(lab.plan, case.id).tellings) == wanted

    until(told_all, 120, pause=3)


@pytest.mark.long
def test_two_speakers_at_once_tell_each_once(lab):
    case = approved_and_ended(lab)
    with ThreadPoolExecutor() as both:
        list(both.map(lambda _: speak(lab, case, 0), range(2)))
    settled(lab, case)
    assert assert_told_once(lab, case) == set()


@pytest.mark.long
@pytest.mark.timeout(2700)
def test_a_speaker_is_killed_at_every_moment(lab):
    for number in range(1, moments(lab)):
        killed_at(lab, number)
