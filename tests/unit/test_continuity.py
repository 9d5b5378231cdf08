"""What recoveries do with flags: thrown, left to people, lifted where no order could prove them, released."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from third_parties import INCIDENT, dead_port, mail_server

import tasks.step
from infra.edge.inbox import messages
from infra.lab.home import DEFAULT_PLAN
from infra.render import host_files
from infra.service.flags import DEFER_NOTES, READ_ONLY, SHED_LOW_PRIORITY
from tasks.clients.flag_settings import FlagSetting, parsed
from tasks.continuity import tell_owners
from tasks.facts.incident import StepRecord
from tasks.plan.continuity import Continuity
from tasks.plan.load import load_plan
from tasks.policy.continuity import changes, released_by, workarounds
from tasks.policy.recovery import is_afterwards

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
CONTINUITY = Continuity.model_validate(
    {
        "flags": {
            "shed": {"does": "refuses lists"},
            "offers": {"does": "offers", "default": True},
            "read_only": {"does": "refuses orders", "refuses_orders": True},
        },
        "switches": [
            {"mitigation": "shedding", "flag": "shed", "linger": "2 minutes"},
            {"mitigation": "degradation", "flag": "offers", "since": "promoted", "recoveries": ["failover"]},
        ],
        "at_most": "1 hour",
    }
)


def by(who, on=True, until=None, incident=""):
    return FlagSetting(on=on, by=who, why="because", at=NOW, until=until, incident=incident)


def done(moment, found=None, kind="failover"):
    case = INCIDENT.model_copy(update={"kind": kind})
    return {each.flag: each for each in changes(CONTINUITY, case, moment, found or {}, NOW)}


def after(moment, found, kind="failover"):
    """What is set once the changes are written."""
    told = done(moment, found, kind).values()
    written = {each.flag: each.setting for each in told if not each.left}
    return {name: setting for name, setting in {**found, **written}.items() if setting}


def test_switches_are_thrown_at_their_moments_to_the_opposite_of_the_default():
    declared = done("declared")
    assert [(name, each.setting.on) for name, each in declared.items()] == [("shed", True)]
    promoted = done("promoted")
    assert {name: each.setting.on for name, each in promoted.items()} == {"shed": True, "offers": False}
    thrown = promoted["shed"].setting
    assert (thrown.incident, thrown.until) == (INCIDENT.id, NOW + timedelta(hours=1))
    assert "shedding" in promoted["shed"].words


@pytest.mark.parametrize(("kind", "flags"), [("cold", {"shed"}), ("switchover", set())])
def test_other_recoveries_throw_what_is_theirs(kind, flags):
    assert done("promoted", kind=kind).keys() == flags


def test_the_end_releases_what_the_recovery_set_some_of_it_later():
    thrown = after("promoted", {})
    released = done("recovered", thrown)
    assert released["offers"].setting is None
    assert released["shed"].setting.until == NOW + timedelta(minutes=2)
    assert released["shed"].setting.holds(NOW + timedelta(seconds=119))
    assert not released["shed"].setting.holds(NOW + timedelta(seconds=121))


def test_what_a_person_set_stays_and_is_not_released():
    found = {"shed": by("ada"), "offers": by("grace", on=True)}
    told = done("promoted", found)
    assert all(each.left for each in told.values())
    assert told["shed"].words == "left on: set by ada, because"
    assert after("recovered", after("promoted", found)) == found


def test_what_a_person_set_for_a_time_that_is_over_does_not_count():
    assert not done("promoted", {"shed": by("ada", until=NOW - timedelta(seconds=1))})["shed"].left


def test_a_flag_that_refuses_orders_is_taken_back_before_the_proof_and_only_then():
    found = {"read_only": by("ada")}
    assert "read_only" not in done("declared", found)
    assert done("promoted", found)["read_only"].setting is None
    assert "set by ada, because" in done("promoted", found)["read_only"].words
    assert "read_only" in done("promoted", found, "switchover")
    assert "read_only" not in done("promoted", {"read_only": by("ada", on=False)})


def test_a_resumed_recovery_throws_and_releases_the_same_again():
    once = after("promoted", {})
    assert after("promoted", once) == once
    over = after("recovered", once)
    assert after("recovered", over) == over
    assert after("recovered", after("promoted", over)) == over


def test_another_incidents_flags_are_thrown_anew_and_released_with_the_new_one():
    left = {"shed": by("the recovery", incident="inc-before")}
    assert done("recovered", left) == {}
    thrown = after("declared", left)
    assert thrown["shed"].incident == INCIDENT.id


def test_an_incident_that_is_given_up_gives_back_its_own_flags_only():
    found = {"a": by("the recovery", incident="inc-1"), "b": by("ada"), "c": by("x", incident="inc-2")}
    assert released_by("inc-1", found) == {"a": None}


def test_the_service_knows_the_flags_of_the_shipped_plan_and_their_defaults():
    plan = load_plan(DEFAULT_PLAN)
    files = host_files(plan, "us-east-1", "app-east-1", active="us-east-1", secrets=False)
    told = json.loads(files["etc/service/service.json"].text)["flags"]
    assert told == plan.continuity.defaults
    assert told.keys() == {READ_ONLY, SHED_LOW_PRIORITY, DEFER_NOTES}


def test_the_steps_are_no_part_of_the_recovery_time():
    assert is_afterwards("switch continuity when promoted")
    assert is_afterwards("tell the owners when declared")


@pytest.mark.parametrize("text", ["", "true", "{}", '{"on": "yes", "by": "a", "why": "b"}'])
def test_what_is_no_setting_is_none(text):
    assert parsed(text) is None


@pytest.fixture
def records(monkeypatch):
    """The step log, without stores."""
    kept = []
    monkeypatch.setattr(tasks.step.journal, "write", lambda *told: kept.append(told[-1]))
    monkeypatch.setattr(tasks.step.journal, "read_all", lambda *_: kept)
    return kept


def test_each_owner_is_told_once_how_to_work_and_when_that_ends(plans, records, tmp_path):
    box = tmp_path / "inbox.jsonl"
    with mail_server(box) as port:
        plan = plans.leading(email=port)
        first = tell_owners.fn(plan, INCIDENT, "declared")
        again = tell_owners.fn(plan, INCIDENT.model_copy(update={"resumed": True}), "declared")
        tell_owners.fn(plan, INCIDENT, "recovered")
    assert again == first
    assert all(told.startswith("told: ") for told in first.owners.values())
    mails = list(messages(box))
    assert [mail["to"] for mail in mails] == [["sales@naas.ai"], ["support@naas.ai"]] * 2
    assert "by telephone, on paper" in mails[0]["text"]
    assert "there again" in mails[2]["subject"]
    # The incident's own mail of the same stage, where mail stands in for a channel, is another one.
    assert not any(mail["id"].startswith(f"<{INCIDENT.id}.") for mail in mails)
    # A mailbox that reads for both owners keeps one of two mails of the same id.
    assert len({mail["id"] for mail in mails}) == len(mails)
    names = [StepRecord.model_validate_json(record).name for record in records]
    assert set(names) == {"tell the owners when declared", "tell the owners when recovered"}


def test_an_owner_who_cannot_be_told_stands_in_the_finding(plans, records):
    found = tell_owners.fn(plans.leading(email=dead_port()), INCIDENT, "declared")
    assert all(told.startswith("not told: ") for told in found.owners.values())
    assert len(found.owners) == 2


@pytest.mark.parametrize("owner", ["the sales team", "sales@naas.ai\nBcc: all@naas.ai"])
def test_an_owner_without_an_address_is_not_told_and_stands_in_the_finding(plans, records, owner):
    plan = plans.leading(email=dead_port())
    process = plan.business_impact["take-orders"].model_copy(update={"owner": owner})
    plan = plan.model_copy(update={"business_impact": {"take-orders": process}})
    told = tell_owners.fn(plan, INCIDENT, "declared").owners
    assert told == {owner: "not told: no address to mail to"}


def test_nobody_is_told_of_a_planned_move(plans, records):
    case = INCIDENT.model_copy(update={"kind": "switchover"})
    assert tell_owners.fn(plans.leading(email=dead_port()), case, "declared").owners == {}


def test_an_owner_of_several_processes_gets_one_mail(plans):
    process = plans.plan.business_impact["take-orders"]
    both = {"buy": process, "sell": process, "rest": process.model_copy(update={"workaround": None})}
    told = workarounds(both, "naas-api")
    assert list(told) == ["sales@naas.ai"]
    assert [line.partition(":")[0] for line in told["sales@naas.ai"].splitlines()] == ["buy", "sell"]
    assert workarounds(both, "another") == {}
