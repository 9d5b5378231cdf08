"""A region is lost at night: the vantages agree, nobody is asked, and the service moves once."""

import time
from datetime import UTC, datetime

import pytest

from tasks.clients import journal, patroni, postgres, service
from tasks.clients.truth import read_truth
from tasks.facts.response import Decision
from tasks.incidents import on_record

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long, pytest.mark.timeout(900)]

# A busy machine starts flows slowly; what is due is that it happens at all, and by itself.
PATIENCE_S = 300
SECOND_THOUGHTS_S = 20


@pytest.fixture
def lab(labs):
    lab = labs.fresh("loopback")
    lab.dr("deploy", timeout=400)
    yield lab
    labs.end()


def timeline(plan, site):
    return postgres.position(plan, patroni.leader(plan, site).host).timeline


def test_a_lost_region_is_declared_and_recovered_with_nobody_asked(lab):
    plan, home, away = lab.plan, lab.plan.site_of("primary"), lab.plan.site_of("dr")
    before = timeline(plan, home)
    lost = datetime.now(UTC)
    lab.dr("lab", "break", home)
    deadline = time.monotonic() + PATIENCE_S
    while not ((truth := read_truth(plan)[0]).active == away and truth.done):
        assert time.monotonic() < deadline, truth
        time.sleep(0.5)
    assert service.round_trip(plan, plan.service.endpoint.url) == away
    assert timeline(plan, away) == before + 1
    decision = Decision.model_validate_json(journal.read(plan, truth.incident, "decision.json"))
    assert decision.recovers
    assert decision.votes == ()
    alarm = on_record(plan, truth.incident).alarm
    assert (alarm.site, alarm.source) == (home, "automated_monitoring")
    assert (
        alarm.detected_at - lost
    ).total_seconds() < plan.high_availability.failover.detection_timeout.total_seconds()
    # Both vantages declare: it is one incident all the same.
    time.sleep(SECOND_THOUGHTS_S)
    assert read_truth(plan)[0].incident == truth.incident
    assert len(journal.incidents(plan)) == 1
