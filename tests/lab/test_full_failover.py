"""The semi-annual drill in the lab: there and home again under load, refused without its guard, aborted."""

import json

import pytest
import yaml
from validation_planting import validating
from waiting import until

from infra.lab.home import write_whole
from infra.lab.traffic import add_rows
from tasks.clients import records
from tasks.clients.truth import active_site, read_truth
from tasks.drill_evidence import read_drill_reports

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]
FLOW = "drill-full-failover"


@pytest.fixture(scope="module")
def lab(labs):
    """A lab under load that stays at the other site for a moment only."""
    lab = labs.fresh("loopback")
    add_rows(lab.plan, lab.plan.site_of("primary"), 20_000)
    lab.dr("deploy")
    lab.dr("run", "backup-database")
    lab.dr("run", "replicate-backups")
    lab.dr("lab", "load", "--rate", "20")
    with validating(lab):
        with_drills(lab, stay="5 seconds")
        yield lab
    labs.end()


def with_drills(lab, **changes):
    file = lab.home.plan_file
    document = yaml.safe_load(file.read_text())
    document["drills"] = {name: it for name, it in (document["drills"] | changes).items() if it is not None}
    write_whole(file, yaml.safe_dump(document, sort_keys=False))


def held(lab, *more):
    commander = lab.plan.declaration.commanders[0]
    allowed = "--param", f"approved_by={commander}", "--param", "risk=a fresh lab has no old backups"
    return lab.attempt("run", FLOW, *allowed, *more, timeout=400)


def test_there_and_home_again_under_load(lab):
    plan = lab.plan
    _, before = read_truth(plan)
    ended = held(lab)
    report = read_drill_reports(plan)[-1]
    assert (ended.returncode, report.verdict) == (0, "passed"), [each.wrong for each in report.trials]
    assert [each.name for each in report.trials] == ["to us-west-2", "home to us-east-1"]
    assert all(
        each.point.startswith("inc-") and 0 < each.took_s < report.drill.rto_s for each in report.trials
    )
    assert report.impact == ()
    assert report.drill.participants["approved by"] == plan.declaration.commanders[0]
    assert active_site(plan) == plan.site_of("primary")
    assert read_truth(plan)[1] != before
    page = json.loads(lab.dr("report", "show", report.drill.id, "--json"))
    assert page["verdict"] == "passed"


def test_every_sites_copy_leads_over_the_time_at_the_other_one(lab):
    lab.dr("run", "check-wal-archiving")
    lab.dr("run", "drill-backup-restoration", "--param", 'assets=["database"]', timeout=300)


def refused(lab, ended, words):
    assert ended.returncode != 0
    assert words in ended.stderr, ended.stderr[-2000:]
    assert active_site(lab.plan) == lab.plan.site_of("primary")


def test_without_a_commander_it_is_not_held(lab):
    refused(lab, lab.attempt("run", FLOW, "--param", "approved_by=mallory", timeout=200), "mallory")


def test_outside_of_its_window_and_in_a_blackout_it_is_not_held(lab):
    with_drills(lab, window="monday from 2:00 AM to 2:01 AM UTC")
    try:
        refused(lab, held(lab), "may not be moved for a drill now")
        always = [{"since": "2020-01-01", "until": "2090-01-01", "reason": "year-end closing"}]
        with_drills(lab, window=None, blackouts=always)
        refused(lab, held(lab), "year-end closing")
    finally:
        with_drills(lab, window=None, blackouts=[])


def test_whoever_aborts_it_brings_the_service_home(lab):
    with_drills(lab, stay="10 minutes")
    before = len(read_drill_reports(lab.plan))
    commander = lab.plan.declaration.commanders[0]
    parameters = {"approved_by": commander, "risk": "a fresh lab has no old backups"}
    lab.dr("trigger", FLOW, *[f"--param={name}={value}" for name, value in parameters.items()])
    until(lambda: active_site(lab.plan) == lab.plan.site_of("dr"), 120)
    [drill] = [each for each in drill_ids(lab) if each not in {it.drill.id for it in reports(lab)}]
    lab.dr("run", "abort-drill", "--param", f"drill={drill}", "--param", "reason=users complain")
    until(lambda: len(read_drill_reports(lab.plan)) > before, 180)
    report = read_drill_reports(lab.plan)[-1]
    [stayed] = [act for act in report.acts if act.name == "serve from the other site"]
    assert "users complain" in stayed.detail
    assert (report.verdict, active_site(lab.plan)) == ("passed", lab.plan.site_of("primary"))


def reports(lab):
    return read_drill_reports(lab.plan)


def drill_ids(lab):
    return records.names(lab.plan, "drills", "/drill.json")
