"""A region is lost, its response killed and resumed: everybody outside is told once, and reads how it is."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from browser import BUILD, picture
from test_crisis import assert_in_order, told
from waiting import until

from infra.edge.inbox import messages
from infra.lab.control import client_settings
from tasks.clients.status_store import url_of
from tasks.clients.truth import read_truth
from tasks.crisis_record import read_crisis

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(900), pytest.mark.long]

SHOTS = BUILD / "status"
KILLED_FLOW = Path(__file__).parents[1] / "faults" / "killed_flow.py"
KILLED_AT = "redirect traffic"


@pytest.fixture
def lab(labs):
    lab = labs.fresh("loopback")
    lab.dr("deploy", timeout=400)
    lab.dr("lab", "load", "--rate", "10")
    SHOTS.mkdir(parents=True, exist_ok=True)
    yield lab
    labs.end()


def killed(lab):
    argv = [sys.executable, str(KILLED_FLOW), "fail-over", KILLED_AT, "before", "reason=no power"]
    environment = os.environ | client_settings(lab.home, lab.plan)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode < 0, done.stderr[-2000:]
    return read_truth(lab.plan)[0].incident


def outside(lab):
    """What left the house; the owners of processes are told by mail as well."""
    public = {"statuspage", "x", "linkedin", "sms"}
    found = messages(lab.home.inbox)
    return [each for each in found if each["channel"] in public or ".example" in str(each.get("to"))]


def everything(lab):
    name = lab.plan.service.name
    both = [
        (f"Service Disruption - {name}", f"Störung - {name}", "investigating"),
        (f"Service Restored - {name}", f"Wiederhergestellt - {name}", "resolved"),
    ]
    people = [
        f"['{who}@{audience}.example']" for audience in ("customers", "partners") for who in ("ada", "kenji")
    ]
    germans = [f"['lea@{audience}.example']" for audience in ("customers", "partners")]
    return Counter(
        (channel, to, words)
        for english, german, status in both
        for channel, to, words in (
            ("statuspage", "", status),
            ("x", "", english),
            ("linkedin", "", english),
            ("sms", "+15550101", english),
            *(("email", who, english) for who in people),
            *(("email", who, german) for who in germans),
        )
    )


def test_everybody_is_told_once_although_the_response_was_killed(lab):
    plan = lab.plan
    survivor = url_of(plan, plan.site_of("dr"))
    lab.dr("trigger", "inform", "--wait", "60")
    picture(survivor, SHOTS / "before.png")
    lab.dr("lab", "break", plan.site_of("primary"))
    incident = killed(lab)
    until(lambda: [m for m in outside(lab) if m["channel"] == "sms"], 60)
    picture(survivor, SHOTS / "during.png")
    duty = ("incident", "discharge", incident, "approve/public/disrupted")
    lab.dr(*duty, "--by", "grace-moreau")
    lab.dr("incident", "resume", incident, "--here")
    until(lambda: len(outside(lab)) >= everything(lab).total(), 120)
    assert told(outside(lab)) == everything(lab)
    picture(survivor, SHOTS / "after.png")
    assert_in_order(outside(lab))
    assert all(each.settled for each in read_crisis(plan, incident).tellings)
    shown = lab.dr("incident", "duties", incident)
    assert "file/early-warning" in shown
    assert "review" in shown
