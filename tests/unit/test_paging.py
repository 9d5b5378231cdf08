"""PagerDuty's escalation policy against a server of its REST API: made, compared, mended, left alone."""

import pytest
import yaml
from third_parties import ADDRESS
from typer.testing import CliRunner

from deployments.cli import app
from infra.edge.edge import serving
from infra.edge.paging import Account
from infra.lab.home import Home, lab_plan
from tasks.clients import paging
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan

TOKEN, KEY = "the-rest-api-token", "0123456789abcdef0123456789abcdef"
PEOPLE = {
    "on_call_engineer": "schedule PSCHED1",
    "engineering_manager": "user PMANAGE",
    "cto": "user PCTO123",
}
AS_PLANNED = "PagerDuty escalates as the plan says"


@pytest.fixture
def account():
    return Account(token=TOKEN, people=frozenset(it.partition(" ")[2] for it in PEOPLE.values()), key=KEY)


@pytest.fixture
def plan_file(plans, account, tmp_path, monkeypatch):
    """A plan whose PagerDuty is the account, which others use as well."""
    for number in range(150):
        account.held["services"][f"POTHER{number}"] = {
            "id": f"POTHER{number}", "name": f"naas-api {number}", "integrations": [],
            "escalation_policy": {"id": "PNONE"}, "status": "active",
        }  # fmt: skip
    plans.write("pagerduty_api_token", TOKEN)
    plans.write("pagerduty_routing_key", KEY)
    with serving(ADDRESS, (0, 0), plans.tls, tmp_path / "inbox", account=account) as (web, _):
        document = yaml.safe_load((plans.folder / "plan.yaml").read_text())
        document["notifications"]["pagerduty"]["escalation"] = {
            "api_token": "file:secrets/pagerduty_api_token", "policy": "naas", "service": "naas-api",
            "recipients": PEOPLE, "endpoint": f"https://{ADDRESS}:{web}",
        }  # fmt: skip
        file = plans.folder / "paging.yaml"
        file.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("DR_PLAN", str(file))
        yield file


def dr(*words):
    done = CliRunner().invoke(app, ["pagerduty", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def ours(account, kind, name):
    return next(each for each in account.held[kind].values() if each["name"] == name)


def test_what_is_missing_is_said_and_made_and_then_left_alone(plan_file, account):
    code, told = dr("check")
    assert code == 1
    assert "there is no escalation policy naas" in told
    assert "there is no service naas-api" in told
    assert AS_PLANNED in dr("apply")[1]
    assert dr("check") == (0, f"{AS_PLANNED}\n")
    before = repr(account.held)
    assert dr("apply") == (0, f"{AS_PLANNED}\n")
    assert repr(account.held) == before, "again changes nothing"


def test_it_has_the_seeds_levels_and_minutes(plan_file, account):
    dr("apply")
    policy, service = ours(account, "escalation_policies", "naas"), ours(account, "services", "naas-api")
    assert [
        (rule["escalation_delay_in_minutes"], [(it["type"], it["id"]) for it in rule["targets"]])
        for rule in policy["escalation_rules"]
    ] == [
        (5, [("schedule_reference", "PSCHED1")]), (15, [("user_reference", "PMANAGE")]),
        (30, [("user_reference", "PCTO123")]),
    ]  # fmt: skip
    assert service["escalation_policy"]["id"] == policy["id"]
    assert len(account.held["services"]) == 151, "nobody else's service is touched"


DRIFT = {
    "level 2 waits 20 minutes, not 15": lambda policy, service: policy["escalation_rules"][1].update(
        escalation_delay_in_minutes=20
    ),
    "level 3 tells user PMANAGE, not user PCTO123": lambda policy, service: policy["escalation_rules"][
        2
    ].update(targets=[{"id": "PMANAGE", "type": "user_reference"}]),
    "level 3 is missing": lambda policy, service: policy["escalation_rules"].pop(),
    "level 4 is one too many": lambda policy, service: policy["escalation_rules"].append(
        policy["escalation_rules"][0]
    ),
    "the levels are repeated 0 times, not 9": lambda policy, service: policy.update(num_loops=0),
    "the service naas-api has another escalation policy": lambda policy, service: service.update(
        escalation_policy={"id": "PNONE"}
    ),
    "the service naas-api pages nobody: it is disabled": lambda policy, service: service.update(
        status="disabled"
    ),
    "the service naas-api does not call people at any hour": lambda policy, service: service.update(
        incident_urgency_rule={"type": "constant", "urgency": "low"}
    ),
    "the service naas-api has no integration that takes our events": lambda policy, service: service.update(
        integrations=[]
    ),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_each_drift_is_named_and_mended(plan_file, account, drift):
    dr("apply")
    DRIFT[drift](ours(account, "escalation_policies", "naas"), ours(account, "services", "naas-api"))
    code, told = dr("check")
    assert code == 1
    assert told.splitlines()[0] == drift
    assert f"was: {drift}" in dr("apply")[1]
    assert dr("check")[0] == 0


def test_a_key_that_is_not_the_services_is_for_people_to_mend(plan_file, account):
    account.key = "another"
    with pytest.raises(Permanent, match="does not page as the plan says") as raised:
        dr("apply")
    assert "belongs to no integration" in raised.value.detail
    assert KEY not in str(raised.value)
    assert dr("check")[0] == 1


def test_nothing_is_touched_where_pagerduty_does_not_know_somebody(plan_file, account):
    account.people = frozenset({"PSCHED1", "PMANAGE"})
    with pytest.raises(Refused, match="does not know user PCTO123"):
        dr("apply")
    assert not account.held["escalation_policies"]


def test_a_refused_token_is_said_without_the_token(plan_file, account):
    account.token = "another"
    with pytest.raises(Permanent, match="pagerduty refuses") as raised:
        dr("check")
    assert TOKEN not in str(raised.value)


def test_what_pagerduty_finds_wrong_is_said(plan_file, account):
    plan = load_plan(plan_file)
    hurry = ((0, plan.notifications.pagerduty.escalation.recipients["cto"]),)
    with pytest.raises(Permanent, match="must be at least 1"), paging.paging(plan) as rest:
        rest.write_policy(hurry, None)


def test_it_waits_while_pagerduty_asks_for_time_but_not_for_ever(plan_file, account, monkeypatch):
    monkeypatch.setattr(paging.RestApiV2Client, "sleep_timer", 0.01)
    account.busy = 3
    assert dr("apply")[0] == 0
    account.busy = 100
    with pytest.raises(Transient, match="asks for time"):
        dr("check")


def test_a_server_that_is_gone_is_said(plans, plan_file):
    document = yaml.safe_load(plan_file.read_text())
    document["notifications"]["pagerduty"]["escalation"]["endpoint"] = f"https://{ADDRESS}:9"
    plan_file.write_text(yaml.safe_dump(document))
    with pytest.raises(Transient, match="pagerduty does not answer"):
        dr("check")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cto": None}, "recipients.cto: missing"),
        ({"ceo": "user PCEO123"}, "recipients.ceo: no recipient of a critical level"),
        ({"cto": "team PABC123"}, "nobody whom PagerDuty knows"),
    ],
)
def test_a_plan_whose_levels_pagerduty_cannot_tell_is_refused(plan_file, change, told):
    document = yaml.safe_load(plan_file.read_text())
    people = {**PEOPLE, **change}
    document["notifications"]["pagerduty"]["escalation"]["recipients"] = {
        name: it for name, it in people.items() if it
    }
    plan_file.write_text(yaml.safe_dump(document))
    with pytest.raises(Refused) as raised:
        load_plan(plan_file)
    assert told in str(raised.value)


def test_pagerduty_waits_whole_minutes(plan_file):
    document = yaml.safe_load(plan_file.read_text())
    document["alerting"]["escalation_policies"]["critical"][0]["timeout"] = "90 seconds"
    plan_file.write_text(yaml.safe_dump(document))
    with pytest.raises(Refused, match="whole minutes"):
        load_plan(plan_file)


def test_in_a_lab_it_is_the_labs_own(plans, plan_file, tmp_path):
    document = yaml.safe_load(lab_plan(Home(tmp_path), plan_file, "loopback"))
    assert document["notifications"]["pagerduty"]["escalation"]["endpoint"].startswith("https://127.")
