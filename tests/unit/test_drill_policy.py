"""What a drill tries, and what follows from what it saw."""

from datetime import UTC, datetime, timedelta

import pytest

import tasks.drill
from tasks.drill import look_again, require_in_time
from tasks.errors import Permanent, Refused
from tasks.facts.backups import Point
from tasks.facts.drill import Act, Drill, DrillReport, Finding, Impact, Trial
from tasks.policy.drill import (
    choose_point,
    findings_of,
    harm,
    is_open,
    killed_trial,
    random_moment,
    recommendations,
    scope_of,
    verdict_of,
)
from tasks.policy.drill_page import drill_page
from tasks.policy.drill_words import copies_words, report_markdown
from tasks.policy.picture import Past

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=10)
DUE = NOON + timedelta(days=14)
COPIES = (("database", "north"), ("database", "south"), ("redis", "north"))


def drill(**changed):
    fields = {
        "id": "dr-drill-20260101T120000Z-abc",
        "kind": "backup_restoration",
        "reason": "by hand",
        "began": NOON,
        "environment": "shop, premium tier",
        "plan_digest": "ab" * 32,
        "scenario": "everything is gone <b>",
        "scope": copies_words(COPIES),
        "copies": COPIES,
        "excluded": {"files/tmp": "can be made anew"},
        "assumptions": ("the key is there",),
        "criteria": ("it comes back",),
        "participants": {"owner of findings": "ann"},
        "rto_s": 60,
        "rpo_s": 15,
    }
    return Drill(**fields | changed)


def trial(outcome="passed", asset="database", site="north", variant="newest", detail="", **changed):
    acts = [("choose", "passed", ""), ("restore", outcome, detail), ("put away", "passed", "")]
    told = tuple(
        Act(name=name, started=NOON, ended=NOON + timedelta(seconds=2), outcome=how, detail=what)
        for name, how, what in acts
    )
    fields = {
        "name": f"{asset} from {site}, {variant}",
        "severity": "critical" if variant == "newest" else "major",
        "point": "p1",
        "acts": told,
        "of_rpo": asset == "database" and variant == "newest",
    }
    return Trial(**fields | changed)


def seen(**changed):
    fields = {
        "at": NOON,
        "active": "north",
        "lsn": "0/5000000",
        "timeline": 3,
        "followers": {"n2": "streaming", "s1": "streaming", "s2": "stopped"},
    }
    return Impact(**fields | changed)


def test_a_trial_is_as_good_as_its_worst_act_though_it_was_put_away():
    assert trial("failed").outcome == "failed"
    assert trial("failed").wrong.name == "restore"
    assert trial().outcome == "passed"
    assert Trial(name="redis", severity="major", point="", acts=()).outcome == "unknown"


def test_a_random_moment_lies_between_the_first_backup_and_the_newest_wal():
    moments = {random_moment([LATER, NOON], LATER + timedelta(hours=1), str(n)) for n in range(200)}
    assert len(moments) > 100
    assert all(NOON < moment < LATER + timedelta(hours=1) for moment in moments)
    assert random_moment([NOON], LATER, "a") == random_moment([NOON], LATER, "a")


@pytest.mark.parametrize(("ends", "stored"), [([], LATER), ([NOON], None), ([NOON], NOON), ([LATER], NOON)])
def test_a_copy_that_cannot_be_recovered_is_told(ends, stored):
    with pytest.raises(Permanent):
        random_moment(ends, stored, "a")


def test_the_newest_point_or_an_older_one_and_never_one_that_is_not_whole():
    points = [Point("redis", "x", str(n), "point", NOON + timedelta(hours=n), good=n != 4) for n in range(5)]
    assert choose_point(points, "newest", "a").name == "3"
    assert {choose_point(points, "random", str(n)).name for n in range(50)} == {"0", "1", "2"}
    assert choose_point(points[:1], "random", "a").name == "0"
    with pytest.raises(Permanent):
        choose_point(points[4:], "newest", "a")


def test_the_scope_is_the_plans_less_what_it_leaves_out():
    assert scope_of(["database", "redis", "files/a"], ["redis"], None) == ("database", "files/a")
    assert scope_of(["database", "redis"], [], ["redis"]) == ("redis",)
    with pytest.raises(Refused, match="redis cannot be tried"):
        scope_of(["database", "redis"], ["redis"], ["redis"])
    with pytest.raises(Refused, match="disk cannot be tried"):
        scope_of(["database"], [], ["disk"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"active": "south"}, "the active site"),
        ({"timeline": 4}, "the timeline"),
        ({"lsn": "0/4000000"}, "the primary stood at"),
        ({"followers": {"s1": "streaming", "s2": "stopped"}}, "n2 was streaming and is gone"),
        (
            {"followers": {"n2": "streaming", "s1": "stopped", "s2": "stopped"}},
            "s1 was streaming and is stopped",
        ),
    ],
)
def test_each_harm_to_production_is_told(changed, words):
    [told] = harm(seen(), seen(**changed))
    assert words in told


def test_production_that_goes_on_is_not_harmed():
    assert harm(seen(), seen(at=LATER, lsn="0/6000000")) == ()
    assert harm(None, seen()) == ("production could not be seen",)


def test_a_drill_that_was_killed_says_what_brings_the_service_home():
    told = killed_trial(drill(kind="full_failover"), LATER, "south", "inc-1")
    assert told.outcome == "failed"
    assert "`dr incident resume inc-1`" in told.wrong.detail
    assert "the service is at south" in told.wrong.detail
    assert "south" not in killed_trial(drill(), LATER, "south", "inc-1").wrong.detail


def test_the_next_drill_is_the_retest_of_one_that_was_killed():
    killed = killed_trial(drill(), LATER, "", "")
    earlier = findings_of(drill(), [killed], [], "ann", DUE)
    [again] = findings_of(drill(), [killed], earlier, "ann", DUE)
    assert is_open(again)
    [passed] = findings_of(drill(), [trial()], earlier, "ann", DUE)
    assert passed.status == "passed its retest"


@pytest.mark.parametrize(
    ("outcomes", "impact", "left", "verdict"),
    [
        (["passed", "passed"], (), (), "passed"),
        (["passed", "failed", "unknown"], (), (), "failed"),
        (["passed", "unknown"], (), (), "unknown"),
        ([], (), (), "unknown"),
        (["passed"], ("the timeline was 1 and is 2",), (), "failed"),
        (["passed"], ("production could not be seen",), (), "unknown"),
        (["passed"], (), ("host: dead",), "failed"),
    ],
)
def test_only_what_is_wholly_good_passes(outcomes, impact, left, verdict):
    assert verdict_of([trial(each) for each in outcomes], impact, left) == verdict


def test_what_is_wrong_becomes_a_finding_and_its_retest_closes_it():
    bad = trial("failed", detail="checksum")
    [first] = findings_of(drill(), [bad, trial(site="south")], [], "ann", DUE)
    assert (first.trial, first.severity, first.status) == ("database from north, newest", "critical", "open")
    assert first.what == "restore: checksum"
    [again] = findings_of(drill(id="later"), [bad], [first], "bob", LATER)
    assert (again.status, again.owner, again.due, again.found_in) == ("still there", "ann", DUE, drill().id)
    [closed] = findings_of(drill(id="later"), [trial()], [first], "bob", LATER)
    assert closed.status == "passed its retest"
    [kept] = findings_of(drill(id="later"), [trial(site="south")], [first], "bob", LATER)
    assert kept == first  # nobody looked


def test_recommendations_follow_from_what_was_measured():
    found = findings_of(drill(), [trial("failed", detail="checksum")], [], "ann", DUE)
    slow = trial(site="south", took_s=31.0)
    told = recommendations(drill(), [slow, trial(took_s=29.0)], found)
    assert "checksum" in told[0]
    assert "2026-01-15 (ann)" in told[0]
    assert told[1].startswith("database from south, newest took 31 s of the 60 s")
    assert len(told) == 2


def report(**changed):
    fields = {
        "drill": drill(),
        "ended": LATER,
        "verdict": "failed",
        "trials": (
            trial(lost_s=7.0, took_s=12.0),
            trial("failed", site="south", detail="page <1> is wrong"),
        ),
        "acts": (Act(name="look", started=NOON, ended=NOON, outcome="passed"),),
        "before": seen(),
        "after": seen(lsn="0/6000000"),
        "impact": (),
        "left": (),
        "findings": (
            Finding(
                trial="database from south, newest", what="page <1> is wrong", severity="critical",
                owner="ann", due=DUE, found_in="x", status="still there",
            ),
        ),
        "recommendations": ("mend it",),
    }  # fmt: skip
    return DrillReport(**fields | changed)


def test_the_page_holds_what_auditors_ask_for():
    told = drill_page(report(), [Past("dr-drill-old", "backup_restoration", 9.0, "passed")])
    wanted = [
        drill().id, "backup restoration", "ab" * 32, "shop, premium tier", "2026-01-01 12:00:00", "600 s",
        "everything is gone &lt;b&gt;", "database from north, south", "files/tmp: can be made anew",
        "it comes back", "the key is there", "owner of findings", "ann", "12.0 s", "of 60 s", "7.0 s",
        "page &lt;1&gt; is wrong", "production was not touched", "nothing was left behind", "0/5000000",
        "0/6000000", "critical", "2026-01-15", "still there", "mend it", "dr-drill-old", "choose",
        "of 15 s", "dr report verify",
    ]  # fmt: skip
    assert [each for each in wanted if each not in told] == []
    assert "http" not in told.replace("http-equiv", "")


def test_the_artifact_tells_the_same_shortly():
    told = report_markdown(report())
    assert "1 of 2 restores passed" in told
    assert "production is as it was before" in report_markdown(report(drill=drill(kind="full_failover")))
    assert "page <1> is wrong" in told


def test_a_move_changes_the_timeline_and_harms_nothing():
    moved = seen(timeline=5, lsn="0/6000000")
    assert harm(seen(), moved, moved=True) == ()
    assert harm(seen(), moved) == ("the timeline was 3 and is 5",)
    assert harm(seen(), seen(active="south"), moved=True) == ("the active site was north and is south",)


def test_a_restore_that_takes_too_long_is_named():
    assert require_in_time.fn(drill(rto_s=60), 59.9) == "59.9 s of 60 s"
    with pytest.raises(Permanent, match="longer than the tier's RTO"):
        require_in_time.fn(drill(rto_s=60), 60.1)


@pytest.mark.parametrize(("looks", "seen_at_last"), [(3, "streaming"), (10**6, "gone")])
def test_a_node_that_follows_again_before_long_was_not_harmed(monkeypatch, looks, seen_at_last):
    left = iter(range(looks))
    still = seen(followers={"s1": "streaming"})
    monkeypatch.setattr(tasks.drill, "_seen", lambda _: still if next(left, None) is not None else seen())
    monkeypatch.setattr(tasks.drill, "_LOOK_S", 0.001)
    monkeypatch.setattr(tasks.drill, "_SETTLED_S", 0.05)
    assert look_again.fn(None, drill(), seen()).followers.get("n2", "gone") == seen_at_last
