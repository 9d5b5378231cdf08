"""What the sites hold is judged by the plan: late, missing, damaged and unknown are never healthy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import inventory
from tasks.errors import Permanent, Transient
from tasks.facts.backups import Damage, Point, Verified
from tasks.facts.catalogue import Expected, Holding
from tasks.plan.load import load_plan
from tasks.policy.catalogue import ANY, expected, judge, judge_all
from tasks.policy.tables import size, span, table

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
HOUR = timedelta(hours=1)
HERE = "us-east-1"
REDIS = Expected("redis", "here", {ANY: 4 * HOUR}, verification=24 * HOUR)
DATABASE = Expected("database", "here", {"full": 24 * HOUR, ANY: 4 * HOUR})


def point(hours, variant="snapshot", asset="redis", **more):
    return Point(asset, "here", f"p{hours}", variant, NOW - hours * HOUR, **more)


def verified(hours, *damages):
    return Verified("redis", "here", NOW - hours * HOUR, "read whole", 1, 1, damages)


def redis(*points, record=None):
    return judge(Holding("redis", "here", points, verified=record), REDIS, NOW)


def test_a_recent_point_is_healthy():
    row = redis(point(1), point(30), record=verified(2))
    assert (row.state, row.finding.severity, row.points) == ("ok", "ok", 2)
    assert (row.age, row.allowed) == (HOUR, 5 * HOUR)
    assert (row.restorable_from, row.restorable_to) == (NOW - 30 * HOUR, NOW - HOUR)


@pytest.mark.parametrize(
    ("hours", "state", "severity"),
    [(5, "ok", "ok"), (5.1, "late", "warning"), (8, "late", "warning"), (8.1, "late", "critical")],
)
def test_late_after_a_quarter_more_and_critical_after_twice_the_interval(hours, state, severity):
    row = redis(point(hours), record=verified(2))
    assert (row.state, row.finding.severity) == (state, severity)


def test_a_copy_may_be_as_much_later_as_its_way_takes():
    due = Expected("redis", "here", {ANY: 4 * HOUR}, travel=HOUR)
    held = Holding("redis", "here", (point(5.9),))
    assert judge(held, due, NOW).state == "ok"
    assert judge(Holding("redis", "here", (point(6.1),)), due, NOW).state == "late"


def test_no_point_is_missing_and_names_what_makes_one():
    row = redis()
    assert (row.state, row.finding.severity) == ("missing", "critical")
    assert "backup_redis" in row.finding.hint


def test_a_point_that_is_not_good_is_none():
    row = redis(point(1, good=False))
    assert row.state == "missing"
    assert row.finding.detail == "no good point among 1"


def test_a_point_from_the_future_proves_nothing_about_today():
    assert redis(point(-2)).state == "missing"
    assert redis(point(-2), point(9)).state == "late"
    assert redis(point(-0.1), record=verified(1)).state == "ok"


def test_what_could_not_be_listed_is_unknown_whatever_was_verified():
    row = judge(Holding("redis", "here", None, "the store does not answer", verified(1)), REDIS, NOW)
    assert (row.state, row.finding.severity, row.finding.red) == ("unknown", "unknown", True)
    assert row.finding.detail == "the store does not answer"


def test_what_nobody_looked_at_is_unknown():
    [row] = judge_all((), (REDIS,), NOW)
    assert row.state == "unknown"


def test_what_the_plan_no_longer_names_is_still_shown():
    gone = Holding("files/old", "here", (point(999, asset="files/old"),))
    rows = judge_all((Holding("redis", "here", (point(1),)), gone), (REDIS,), NOW)
    assert [(row.asset, row.state) for row in rows] == [("redis", "ok"), ("files/old", "ok")]
    assert rows[1].finding.severity == "warning"
    assert "not in the plan" in rows[1].finding.detail


def test_damage_is_told_before_lateness_and_by_name():
    damage = Damage("redis", "here", "points/redis/x/dump.age", "another SHA-256")
    row = redis(point(9), record=verified(1, damage))
    assert (row.state, row.finding.severity, row.damages) == ("damaged", "critical", 1)
    assert "points/redis/x/dump.age" in row.finding.detail


def test_what_may_be_damaged_is_unknown():
    row = judge(Holding("redis", "here", (point(1),), doubt="the record cannot be read"), REDIS, NOW)
    assert (row.state, row.finding.severity, row.finding.red) == ("unknown", "unknown", True)
    assert row.finding.detail == "the record cannot be read"


@pytest.mark.parametrize(
    ("answer", "state"),
    [({("redis", HERE): Permanent("torn")}, "unknown"), (Transient("dead"), "unknown"), ({}, "ok")],
)
def test_the_catalogue_knows_no_state_without_the_record_of_damage(monkeypatch, answer, state):
    def read(_):
        if isinstance(answer, Transient):
            raise answer
        return answer

    monkeypatch.setattr(inventory, "read_verified", read)
    monkeypatch.setattr(inventory, "_listed", lambda _, site, kind: _listed(site, kind))
    monkeypatch.setattr(inventory, "_active", lambda _: HERE)
    monkeypatch.setattr(inventory, "frozen", lambda _: "")
    [row] = (row for row in inventory.catalogue(PLAN, NOW).rows if (row.asset, row.site) == ("redis", HERE))
    assert row.state == state


def _listed(site, kind):
    return (Point("redis", site, "p", "snapshot", NOW - HOUR),) if kind == "points" else ()


@pytest.mark.parametrize(("hours", "severity"), [(47, "ok"), (49, "warning")])
def test_a_verification_that_is_overdue_is_a_warning(hours, severity):
    assert redis(point(1), point(90), record=verified(hours)).finding.severity == severity


def test_never_verified_is_a_warning_once_it_was_due():
    assert redis(point(1)).finding.detail == "not verified yet"
    assert redis(point(1), point(49)).finding == redis(point(1), point(50)).finding
    assert redis(point(1), point(49)).finding.severity == "warning"


def database(*points):
    return judge(Holding("database", "here", points), DATABASE, NOW)


def full(hours, **more):
    return point(hours, "full", "database", **more)


def incr(hours):
    return point(hours, "incr", "database")


def test_each_variant_has_its_own_schedule():
    assert database(full(20), incr(2)).state == "ok"
    assert database(full(31), incr(2)).finding.detail == "no full for 1 d 7 h; planned every 1 d"
    assert database(full(20), incr(6)).state == "late"
    assert database(full(2)).state == "ok", "a full one is as good as an incremental one"


def test_the_worst_of_several_is_told():
    assert database(full(31), incr(9)).finding.severity == "critical"


def test_a_variant_that_was_never_taken_is_late_from_the_first_point_on():
    due = Expected("database", "here", {"long-term": 31 * 24 * HOUR})
    assert judge(Holding("database", "here", (full(700),)), due, NOW).state == "ok"
    assert judge(Holding("database", "here", (full(1000),)), due, NOW).state == "late"


def test_restorable_to_follows_the_wal():
    assert database(full(20), full(2, until=NOW)).restorable_to == NOW


def test_everything_is_expected_everywhere_and_copies_later():
    due = {(each.asset, each.site): each for each in expected(PLAN, "us-east-1")}
    assert {asset for asset, _ in due} == set(PLAN.protection.assets())
    assert {site for _, site in due} == set(PLAN.sites)
    travels = [due["redis", site].travel for site in ("us-east-1", "us-west-2", "eu-west-1")]
    assert travels == [timedelta(0), timedelta(minutes=15), timedelta(minutes=30)]
    assert due["database", "us-east-1"].intervals == {"full": 24 * HOUR, ANY: 4 * HOUR}
    assert due["database", "eu-west-1"].intervals["long-term"] == timedelta(days=31)
    assert due["configuration/infrastructure", "us-east-1"].intervals == {ANY: 24 * HOUR}, (
        "made anew each day"
    )


def test_after_a_failover_the_new_primary_is_the_source():
    due = {(each.asset, each.site): each.travel for each in expected(PLAN, "us-west-2")}
    assert due["redis", "us-west-2"] == timedelta(0)
    assert due["redis", "us-east-1"] == due["redis", "eu-west-1"] == timedelta(minutes=15)


def test_a_cell_cannot_break_its_table():
    assert table(("a", "b"), [("1|2", "x\ny")]).splitlines() == ["| a | b |", "| - | - |", "| 1\\|2 | x y |"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (3600, "1 h"), (93784, "1 d 2 h"), (86399, "23 h 59 min")],
)
def test_spans_have_their_two_largest_units(seconds, words):
    assert span(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1536, "1.5 KiB"), (3 << 40, "3.0 TiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes_have_their_unit(count, words):
    assert size(count) == words
