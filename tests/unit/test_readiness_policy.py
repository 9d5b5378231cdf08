"""Whether a service could be recovered now: each thing that is amiss is found by the check that is for it."""

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1]))
from ready_sights import NOON, held, well

from tasks.errors import Permanent, Transient
from tasks.facts.archive import Finding
from tasks.facts.drill import Finding as Deficiency
from tasks.facts.readiness import Check, Readiness
from tasks.plan.load import load_plan
from tasks.policy.readiness import QUESTIONS, judge_readiness, nothing_seen
from tasks.policy.readiness_words import readiness_markdown

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
EAST, WEST, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
SILENT, REFUSED = Transient("no answer in time", "5 s"), Permanent("access is denied", "403")


@pytest.fixture(scope="module")
def plan():
    return load_plan(PLAN)


def with_(mapping, key, value):
    return {**mapping, key: value}


def fault(**changes):
    """What changes a good sight into another: each a function of what the field was."""
    return lambda seen: replace(seen, **{name: how(getattr(seen, name)) for name, how in changes.items()})


def row(state, severity):
    def spoil(catalogue):
        first, *others = catalogue.rows
        bad = replace(first, state=state, finding=Finding(first.finding.name, severity, "31 h old of 26 h"))
        return replace(catalogue, rows=(bad, *others))

    return spoil


def uncovered(catalogue):
    return replace(catalogue, coverage=(*catalogue.coverage, Finding("coverage of mail", "critical", "none")))


def narrowed(verdict):
    def spoil(reports):
        first, *others = reports
        assert first.drill.kind == "backup_restoration"
        one = first.drill.model_copy(update={"copies": (("redis", WEST),)})
        return [first.model_copy(update={"verdict": verdict, "drill": one}), *others]

    return spoil


def report(kind, **changed):
    def spoil(reports):
        return [each.model_copy(update=changed) if each.drill.kind == kind else each for each in reports]

    return spoil


def of_another_plan(reports):
    drill = reports[0].drill.model_copy(update={"plan_digest": "ab" * 32})
    return [reports[0].model_copy(update={"drill": drill}), *reports[1:]]


DUE = Deficiency(
    trial="redis from west", what="nothing came back", severity="critical", owner="ann",
    due=NOON - timedelta(days=1), found_in="dr-drill-x", status="open",
)  # fmt: skip
AT_WEST = WEST, "postgres-dr-1"


def found(verdict="passed", **changed):
    finding = DUE.model_copy(update=changed)
    return fault(drills=report("backup_restoration", verdict=verdict, findings=(finding,)))


FAULTS = {
    "an incident is open": (fault(incident=lambda _: "inc-1"), "incident", "NOT READY", "inc-1 is open"),
    "a standby lags": (fault(lags=lambda _: {WEST: 4000.0}), "replication", "NOT READY", "4000.0 s behind"),
    "a standby is silent": (fault(lags=lambda _: {}), "replication", "NOT READY", "does not answer"),
    "the primary is silent": (fault(lags=lambda _: SILENT), "replication", "NOT READY", "no answer"),
    "a copy of the WAL is old": (
        fault(ages=lambda ages: with_(ages, ARCHIVE, 90000.0)), "archive", "NOT READY", "90000 s behind"),
    "a store is silent": (
        fault(ages=lambda ages: {EAST: 1.0, WEST: 1.0}), "archive", "NOT READY", "its store does not answer"),
    "a backup is late": (fault(catalogue=row("late", "critical")), "backups", "NOT READY", "31 h old"),
    "a backup is missing": (fault(catalogue=row("missing", "critical")), "backups", "NOT READY", "31 h old"),
    "a disk is full": (
        fault(rooms=lambda rooms: with_(rooms, AT_WEST, replace(rooms[AT_WEST], free=2**30))),
        "capacity", "NOT READY", "1.0 GiB of disk free"),
    "no room to restore beside": (
        fault(rooms=lambda rooms: with_(rooms, AT_WEST, replace(rooms[AT_WEST], free=90 * 2**30))),
        "capacity", "AT RISK", "cannot be restored beside"),
    "half the processors": (
        fault(rooms=lambda rooms: with_(rooms, AT_WEST, replace(rooms[AT_WEST], cpus=4))),
        "capacity", "AT RISK", "have 8 CPUs"),
    "another PostgreSQL": (
        fault(programs=lambda them: with_(them, AT_WEST, replace(them[AT_WEST], programs="14"))),
        "versions", "NOT READY", "PostgreSQL 14"),
    "a host refuses": (
        fault(programs=lambda them: with_(them, AT_WEST, REFUSED)), "versions", "NOT READY", "denied"),
    "one member of etcd": (fault(members=lambda all_: all_[1:]), "etcd", "AT RISK", "2 of 3"),
    "no quorum": (fault(members=lambda all_: all_[2:]), "etcd", "NOT READY", "1 of 3"),
    "a key is refused": (
        fault(keys=lambda keys: with_(keys, "owner key of the store of us-west-2", REFUSED)),
        "credentials", "NOT READY", "access is denied"),
    "a certificate has expired": (
        fault(certificates=lambda them: with_(them, WEST, Permanent("not trusted", "it has expired"))),
        "credentials", "NOT READY", "it has expired"),
    "a certificate ends soon": (
        fault(certificates=lambda them: with_(them, WEST, NOON + timedelta(days=2))),
        "credentials", "AT RISK", "2026-11-28"),
    "a setting drifted": (
        fault(drift=lambda _: (Finding("ttl of postgres-dr-1", "critical", "30, planned 20"),)),
        "configuration", "NOT READY", "planned 20"),
    "nobody knows of drift": (fault(drift=lambda _: SILENT), "configuration", "NOT READY", "no answer"),
    "a clock is wrong": (
        fault(rooms=lambda rooms: with_(rooms, AT_WEST, replace(rooms[AT_WEST], ahead_s=-3.0))),
        "clocks", "AT RISK", "3.00 s behind"),
    "a clock is very wrong": (
        fault(rooms=lambda rooms: with_(rooms, AT_WEST, replace(rooms[AT_WEST], ahead_s=60.0))),
        "clocks", "NOT READY", "60.00 s ahead"),
    "one channel is away": (
        fault(routes=lambda all_: with_(all_, "slack", SILENT)), "notification", "AT RISK", "no answer"),
    "all channels are away": (
        fault(routes=lambda all_: dict.fromkeys(all_, SILENT)), "notification", "NOT READY", "no answer"),
    "the status page refuses its key": (
        fault(public=lambda all_: with_(all_, "statuspage", REFUSED)),
        "notification", "AT RISK", "access is denied"),
    "the survivor has no control plane": (
        fault(control=lambda _: {WEST: SILENT}), "control", "NOT READY", "no answer"),
    "a watch is dead": (
        fault(vantages=lambda them: with_(them, WEST, NOON - timedelta(minutes=10))),
        "control", "NOT READY", "600 s"),
    "a watch never told": (
        fault(vantages=lambda them: with_(them, WEST, None)), "control", "NOT READY", "told nothing"),
    "a drill was never held": (fault(drills=lambda them: them[1:]), "drills", "AT RISK", "never held"),
    "a drill is overdue": (
        fault(drills=report("backup_restoration", ended=NOON - timedelta(days=60))),
        "drills", "AT RISK", "overdue for 22 d"),
    "a drill failed": (
        fault(drills=report("backup_restoration", verdict="failed")), "drills", "NOT READY", "failed on"),
    "a finding is due": (found(severity="major"), "drills", "AT RISK", "ann had until"),
    "a critical finding is due": (found(), "drills", "NOT READY", "ann had until"),
    "a critical finding is not due yet": (
        found(due=NOON + timedelta(days=9)), "drills", "NOT READY", "ann has until"),
    "a drill was ended early": (
        found(due=NOON + timedelta(days=9), found_in="dr-drill-backup_restoration", verdict="unknown"),
        "drills", "AT RISK", "unknown on"),
    "a drill of one copy only": (
        fault(drills=narrowed("passed")), "drills", "AT RISK", "never held"),
    "a drill of one copy that failed": (
        fault(drills=narrowed("failed")), "drills", "NOT READY", "failed on"),
    "the plan was edited": (fault(drills=of_another_plan), "drills", "AT RISK", "before the plan was edited"),
    "an asset is not covered": (fault(catalogue=uncovered), "coverage", "NOT READY", "none"),
}  # fmt: skip


def test_everything_well_is_ready(plan):
    found = judge_readiness(plan, well(plan))
    assert (found.standing, found.reasons) == ("READY", ())
    assert [check.name for check in found.checks] == list(QUESTIONS)
    assert all(check.findings for check in found.checks)


@pytest.mark.parametrize(("spoil", "check", "standing", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_by_its_check_and_no_other(plan, spoil, check, standing, words):
    found = judge_readiness(plan, spoil(well(plan)))
    assert found.standing == standing
    assert {each.name for each in found.checks if each.standing != "READY"} == {check}
    assert any(words in each.detail for each in found.reasons), found.reasons


def test_after_a_failover_the_other_site_is_what_must_be_ready(plan):
    moved = well(plan, active=WEST, lags={EAST: 0.1}, control={EAST: None})
    assert judge_readiness(plan, moved).standing == "AT RISK"  # the plan has no control plane at the east
    alone = replace(moved, control={})
    reasons = [each.detail for each in judge_readiness(plan, alone).reasons]
    assert f"there is none outside {WEST}" in reasons


def test_a_mail_server_that_is_lost_with_the_site_is_found_in_the_plan(tmp_path):
    document = yaml.safe_load(PLAN.read_text())
    document["notifications"]["email"]["smarthost"] = "127.1.1.31:25"
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    plan = load_plan(file)
    found = judge_readiness(plan, well(plan))
    assert found.standing == "AT RISK"
    assert [each.detail for each in found.reasons] == [f"the smarthost 127.1.1.31:25 is at {EAST}"]


@pytest.mark.parametrize(
    "changed",
    [{"severity": "major", "due": NOON + timedelta(days=9)}, {"status": "passed its retest"}],
    ids=["it may wait", "it is mended"],
)
def test_a_finding_that_may_wait_or_is_mended_speaks_against_nothing(plan, changed):
    assert judge_readiness(plan, found(**changed)(well(plan))).standing == "READY"


def test_where_nobody_knows_which_site_is_active_it_is_not_ready(plan):
    found = nothing_seen(plan, NOON, Transient("etcd has no quorum"))
    assert found.standing == "NOT READY"
    assert "etcd has no quorum" in readiness_markdown(found)


def test_a_check_without_an_answer_and_no_check_at_all_are_not_ready(plan):
    assert Check(name="etcd", findings=()).standing == "NOT READY"
    assert Readiness(service="shop", at=NOON, checks=()).standing == "NOT READY"


def test_the_page_tells_what_speaks_against_it_and_what_is_well(plan):
    spoil, *_ = FAULTS["a disk is full"]
    text = readiness_markdown(judge_readiness(plan, spoil(well(plan, routes={"slack": None}))))
    assert text.startswith(f"# {plan.service.name}: NOT READY")
    assert "make room" in text
    assert "|" in text.splitlines()[-1]


def test_it_is_kept_as_it_was_told(plan):
    found = judge_readiness(plan, well(plan))
    assert Readiness.model_validate_json(found.model_dump_json()) == found
    assert held(plan, "backup_restoration").drill.kind == "backup_restoration"
