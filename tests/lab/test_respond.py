"""An alarm becomes a recovery by its commanders or by the plan; a refusal ends quietly; an abort undoes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from waiting import until

from deployments.trigger import Api, trigger, wait_for
from infra.lab.control import client_settings
from infra.platform.metrics import NOTICES_PORT
from tasks.clients import journal, patroni, postgres, service
from tasks.clients.truth import read_truth
from tasks.errors import DrError
from tasks.facts.response import Decision, Impact
from tasks.incidents import on_record

pytestmark = [pytest.mark.lab, pytest.mark.fault]

KILLED_FLOW = Path(__file__).parents[1] / "faults/killed_flow.py"


@pytest.fixture(scope="module")
def lab(labs):
    """A lab of its own, with the flows deployed; its last test leaves a site broken."""
    lab = labs.fresh("loopback")
    lab.dr("deploy")
    yield lab
    labs.end()


@pytest.fixture
def api(lab):
    settings = client_settings(lab.home, lab.plan)
    return Api(settings["PREFECT_API_URL"], settings["PREFECT_API_AUTH_STRING"])


def state(api, run):
    return api.call("GET", f"/flow_runs/{run}")["state"]


def paused(api, run):
    return state(api, run)["type"] == "PAUSED"


def declared(lab, **changed):
    """A commander's form."""
    commander = lab.plan.declaration.commanders[0]
    return {"commander": commander, "decision": "declare", "comment": "the power is out"} | changed


def answer(api, run, **form):
    return api.call("POST", f"/flow_runs/{run}/resume", {"run_input": form})


def incident_of(lab, before):
    [name] = set(journal.incidents(lab.plan)) - set(before)
    return name


def raised(lab, api, **parameters):
    """A run of `respond` that waits for its commanders, and its incident."""
    before = journal.incidents(lab.plan)
    run = trigger(api, "respond", {"reason": "the power is out"} | parameters, str(uuid4()))
    until(lambda: paused(api, run))
    return run, incident_of(lab, before)


@pytest.mark.timeout(200)
def test_a_refusal_is_recorded_and_ends_quietly(lab, api):
    truth = read_truth(lab.plan)
    run, incident = raised(lab, api, source="external_notification")
    told = answer(api, run, **declared(lab, commander="mallory"))
    assert told["status"] == "REJECT", told
    assert paused(api, run)
    answer(api, run, **declared(lab, decision="refuse"))
    assert wait_for(api, run, 60)["type"] == "COMPLETED"
    assert on_record(lab.plan, incident).state == "refused"
    assert read_truth(lab.plan) == truth
    assert service.round_trip(lab.plan, lab.plan.service.endpoint.url) == lab.plan.site_of("primary")
    impact = Impact.model_validate_json(journal.read(lab.plan, incident, "impact.json"))
    assert impact.recommended.kind == "hot standby"
    assert impact.users_served
    assert {component.state for component in impact.components} == {"well"}


@pytest.mark.timeout(200)
def test_a_notice_from_outside_asks_the_commanders_once_however_often_it_is_sent(lab, api):
    before = journal.incidents(lab.plan)
    notice = {"site": lab.plan.site_of("primary"), "reason": "the provider says so", "key": uuid4().hex}
    first, again = notify_from_outside(lab, notice), notify_from_outside(lab, notice)
    assert (first.status_code, again.status_code) == (202, 202), first.text
    assert first.json() == again.json()
    [run] = [each["flow_run_id"] for each in first.json()["runs"]]
    until(lambda: paused(api, run))
    incident = incident_of(lab, before)
    assert on_record(lab.plan, incident).alarm.source == "external_notification"
    lab.dr("incident", "abort", incident, "--reason", "a test", "--here")
    assert on_record(lab.plan, incident).state == "refused"
    answer(api, run, **declared(lab, decision="refuse"))
    assert wait_for(api, run, 60)["type"] == "COMPLETED"


def notify_from_outside(lab, notice):
    [address] = lab.plan.sites[lab.plan.site_of("dr")].addresses("control")
    url, token = f"http://{address}:{NOTICES_PORT}/notices/plain", lab.plan.secret("notices_token")
    return httpx.post(url, json=notice, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


@pytest.mark.timeout(200)
def test_an_alarm_for_a_site_that_is_not_active_is_refused(lab):
    done = lab.attempt("run", "respond", "--param", f"site={lab.plan.site_of('dr')}")
    assert done.returncode == 2
    assert "not the active site" in done.stderr


@pytest.mark.timeout(200)
def test_a_name_that_is_no_commanders_declares_nothing(lab):
    done = lab.attempt("declare", "--reason", "a test", "--commander", "mallory", "--here")
    assert done.returncode == 2
    assert "may not declare" in done.stderr


@pytest.mark.timeout(200)
def test_a_failover_that_is_refused_leaves_no_incident_in_the_way(lab):
    plan, home = lab.plan, lab.plan.site_of("primary")
    before, _ = read_truth(plan)
    for _ in range(2):  # were the first in the way, the second would be refused for that
        refused = lab.attempt("run", "fail-over", "--param", "reason=a rumour")
        assert refused.returncode == 2, refused.stderr
        assert f"{home} is alive" in refused.stderr
    after, _ = read_truth(plan)
    assert (after.active, after.done) == (home, True)
    assert after.epoch > before.epoch
    assert on_record(plan, after.incident).state == "aborted"
    assert writes(plan, home)


@pytest.mark.timeout(250)
def test_an_incident_that_is_aborted_before_its_promotion_leaves_the_site_writing(lab):
    """The old primary lives and is fenced by force; the run dies right after that."""
    plan, home = lab.plan, lab.plan.site_of("primary")
    argv = [sys.executable, str(KILLED_FLOW), "fail-over", "fence the old primary", "after", "force=true"]
    environment = os.environ | client_settings(lab.home, plan)
    died = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    truth, _ = read_truth(plan)
    assert (truth.active, truth.done) == (plan.site_of("dr"), False)
    assert not writes(plan, home)
    lab.dr("incident", "abort", truth.incident, "--reason", "a test", "--here")
    assert until(lambda: writes(plan, home))
    now, _ = read_truth(plan)
    assert (now.active, now.done, now.epoch) == (home, True, truth.epoch + 1)
    assert on_record(plan, truth.incident).state == "aborted"
    again = ("--param", f"incident={truth.incident}", "--param", "force=true")
    late = lab.attempt("run", "fail-over", *again)
    assert late.returncode == 2
    assert "stale" in late.stderr


@pytest.mark.timeout(300)
def test_a_declared_disaster_is_recovered_and_its_record_is_whole(lab, api):
    plan, home, away = lab.plan, lab.plan.site_of("primary"), lab.plan.site_of("dr")
    lab.dr("lab", "load", "--rate", "25")
    time.sleep(3)
    lab.dr("lab", "break", home)
    run, incident = raised(lab, api)
    impact = Impact.model_validate_json(journal.read(plan, incident, "impact.json"))
    assert not impact.users_served
    assert {component.state for component in impact.components} == {"no answer"}
    answer(api, run, **declared(lab))
    assert wait_for(api, run, 120)["type"] == "COMPLETED"
    lab.dr("lab", "load", "--stop")
    assert service.round_trip(plan, plan.service.endpoint.url) == away
    record = on_record(plan, incident)
    assert record.state == "ended, met"
    assert record.report.incident == incident
    decision = Decision.model_validate_json(journal.read(plan, incident, "decision.json"))
    assert decision.why == f"declared by {lab.plan.declaration.commanders[0]}"
    assert incident in lab.dr("incident", "list")
    assert f"Is {lab.plan.site_of('primary')} lost?" in lab.dr("incident", "show", incident)


def writes(plan, site):
    with suppress(DrError):
        postgres.prove_write(plan, patroni.leader(plan, site).host, "a test")
        return True
    return False
