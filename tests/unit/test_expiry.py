"""What expiry decides over all sites: sources before copies, and reasons to leave an asset alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tasks.errors import Refused
from tasks.expiry import MOVED_CLOCK, moment_of
from tasks.facts.backups import Damage, Point, Verified
from tasks.facts.catalogue import Holding
from tasks.facts.expiry import Decision, Evidence, Outcome
from tasks.plan.load import load_plan
from tasks.policy.expiry import UNFINISHED, Limits, decide_all, decisions_table, differences, retention_of
from tasks.policy.replication import Pull

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
A, B, C = "us-east-1", "us-west-2", "eu-west-1"
PULLS = (Pull(A, B), Pull(B, C))
LIMITS = Limits(NOW, DAY)


def point(days, variant="snapshot", site=A, asset="files/uploads", **more):
    return Point(asset, site, f"{variant}-{days}", variant, NOW - days * DAY, **more)


def held(site, *days, asset="files/uploads", variant="snapshot", **more):
    return Holding(asset, site, tuple(point(each, variant, site, asset) for each in days), **more)


def decide(*holdings, limits=LIMITS, pulls=PULLS):
    return {(each.asset, each.site): each for each in decide_all(PLAN, holdings, pulls, limits)}


def gone(decision):
    return [each.name for each in decision.remove]


def files(*holdings, limits=LIMITS):
    return {site: each for (_, site), each in decide(*holdings, limits=limits).items()}


def test_the_plans_retention_by_variant():
    assert retention_of(PLAN, "database") == {
        "full": 30 * DAY,
        "incr": 7 * DAY,
        "long-term": 7 * 365 * DAY,
        UNFINISHED: DAY,
    }
    kept = {asset: retention_of(PLAN, asset)["snapshot"].days for asset in PLAN.protection.assets()[1:]}
    assert kept == {
        "redis": 7,
        "files/uploads": 14,
        "configuration/infrastructure": 90,
        "configuration/application": 90,
        "configuration/servers": 90,
        "secrets/plan": 90,
        "secrets/store-certificates": 90,
    }


def test_the_active_site_is_decided_first_and_copies_after_their_sources():
    done = decide(held(C, 15, 1), held(B, 15, 1), held(A, 15, 1))
    assert [site for _, site in done] == [A, B, C]
    assert all(gone(each) == ["snapshot-15"] for each in done.values())


def test_after_a_failover_the_order_is_another():
    done = decide(held(A, 15, 1), held(B, 15, 1), pulls=(Pull(B, A), Pull(B, C)))
    assert [site for _, site in done] == [B, A]


def test_an_unknown_site_is_left_alone_with_all_its_copies():
    done = files(Holding("files/uploads", A, None, "the store is dead"), held(B, 15, 1), held(C, 15, 1))
    assert "the store is dead" in done[A].left_alone
    assert done[B].left_alone == f"its source {A} is left alone"
    assert done[C].left_alone == f"its source {B} is left alone"
    assert not any(each.remove or each.due for each in done.values())


def test_an_unknown_copy_holds_up_neither_its_source_nor_its_siblings():
    done = files(held(A, 15, 1), Holding("files/uploads", B, None, "dead"))
    assert gone(done[A]) == ["snapshot-15"]
    assert done[B].left_alone


def test_what_the_source_keeps_stays_in_the_copy():
    done = files(held(A, 99), held(B, 99, 1))
    assert gone(done[A]) == []
    assert gone(done[B]) == []
    assert dict(done[B].spared) == {"snapshot-99": "its source keeps it, and replication would bring it back"}


def test_a_copy_whose_source_holds_nothing_may_be_all_there_is():
    done = files(held(A), held(B, 99, 50, 1), held(C, 99, 50, 1))
    assert "may be all there is" in done[B].left_alone
    assert done[C].left_alone


def test_a_damaged_copy_leaves_the_asset_alone_everywhere():
    damage = Damage("files/uploads", C, "restic/data/ab", "another SHA-256")
    record = Verified("files/uploads", C, NOW, "read", damages=(damage,))
    done = files(held(A, 15, 1), held(B, 15, 1), held(C, 15, 1, verified=record))
    assert all("damaged" in each.left_alone or "left alone" in each.left_alone for each in done.values())
    clean = replace(record, damages=())
    assert gone(files(held(A, 15, 1), held(C, 15, 1, verified=clean))[A]) == ["snapshot-15"]


def test_a_copy_whose_record_of_damage_cannot_be_read_leaves_the_asset_alone_everywhere():
    done = files(held(A, 15, 1), held(B, 15, 1), held(C, 15, 1, doubt="torn"))
    assert done[A].left_alone == f"whether its copy at {C} is damaged is not known: torn"
    assert not any(each.due for each in done.values())
    other = decide(held(A, 15, 1), held(A, 8, 1, asset="redis", doubt="torn"))
    assert gone(other["files/uploads", A]) == ["snapshot-15"]


def test_the_last_good_one_stays_however_old():
    done = files(held(A, 99))
    assert done[A].remove == ()
    assert done[A].spared == (("snapshot-99", "the last good one"),)


def test_most_of_an_asset_at_once_and_long_overdue_looks_like_an_accident():
    days = 40, 39, 38, 1
    done = files(held(A, *days), held(B, *days))
    assert "3 of 4 good points" in done[A].left_alone
    assert done[B].left_alone
    forced = files(held(A, *days), held(B, *days), limits=replace(LIMITS, force=True))
    assert all(len(each.remove) == 3 for each in forced.values())


def test_half_of_an_asset_is_not_most_of_it():
    assert len(files(held(A, 40, 39, 2, 1))[A].remove) == 2


def test_a_burst_of_changes_comes_due_in_a_burst():
    burst = held(A, 90.3, 90.2, 90.1, 1, asset="configuration/infrastructure")
    [done] = decide(burst).values()
    assert len(done.remove) == 3
    late = held(A, 93.3, 93.2, 93.1, 1, asset="configuration/infrastructure")
    [done] = decide(late).values()
    assert "force=true" in done.left_alone


def test_unfinished_points_go_after_a_day():
    unfinished = [
        point(2, UNFINISHED, asset="redis", good=False),
        point(0.5, UNFINISHED, asset="redis", good=False),
    ]
    [done] = decide(Holding("redis", A, (*unfinished, point(1, asset="redis")))).values()
    assert gone(done) == ["unfinished-2"]


def test_database_retention_dependents_first_and_wal_from_what_stays():
    def backup(days, variant, *needs):
        return point(days, variant, asset="database", needs=needs)

    points = (
        backup(31, "full"),
        backup(30.5, "incr", "full-31"),
        backup(29, "full"),
        backup(6, "full"),
        backup(5.5, "incr", "full-6"),
        backup(1, "full"),
    )
    [done] = decide(Holding("database", A, points)).values()
    assert gone(done) == ["incr-30.5", "full-31"]
    assert done.stay == ("full-29", "full-6", "incr-5.5", "full-1")
    assert done.wal_backups == 4, "three end within seven days; the one before them reaches the first moment"


def test_wal_ages_without_any_backup_going():
    [done] = decide(held(A, 1, asset="database", variant="full")).values()
    assert done.remove == ()
    assert done.due


def test_long_term_points_outlive_full_ones_and_take_no_wal():
    both = (
        *held(A, 60, 2, 1, asset="database", variant="full").points,
        point(400, "long-term", asset="database"),
    )
    [done] = decide(Holding("database", A, both)).values()
    assert gone(done) == ["full-60"]
    assert done.wal_backups == 2


def month(days, *damages):
    """A month that is set apart: a point of the database, and an asset of its own with its record."""
    asset = f"long-term/long-term-{days}"
    record = Verified(asset, A, NOW, "read", 1, 1, tuple(Damage(asset, A, each, "gone") for each in damages))
    return point(days, "long-term", asset="database"), Holding(
        asset, A, (point(days, "long-term", asset=asset),), verified=record
    )


def test_a_month_in_doubt_stays_and_keeps_nothing_else():
    years = 7 * 365
    (bad, held_bad), (good, held_good) = month(years + 2, "bundle/1"), month(years + 1)
    backups = held(A, 60, 2, 1, asset="database", variant="full").points
    database = Holding("database", A, (bad, good, *backups))
    done = decide(database, held_bad, held_good)
    assert done.keys() == {("database", A)}
    [decision] = done.values()
    assert gone(decision) == ["full-60", good.name]
    assert [name for name, _ in decision.spared] == [bad.name]
    assert "damaged" in decision.spared[0][1]
    unknown = replace(held_bad, verified=None, doubt="its record cannot be read")
    assert gone(decide(database, unknown, held_good)["database", A]) == ["full-60", good.name]


def test_what_remains_is_compared_with_what_was_decided():
    [done] = files(held(A, 15, 2, 1)).values()
    assert differences(done, held(A, 2, 1, 0).points) == (), "one is new meanwhile"
    assert differences(done, held(A, 15, 2, 1).points) == ("snapshot-15 is still there",)
    assert differences(done, held(A, 1).points) == ("snapshot-2 is gone",)


def test_the_table_tells_everything_before_anything_goes():
    shown = decisions_table(decide(held(A, 15, 1), held(B, 99), held(C, 30, 29, 28, 1)).values(), NOW)
    assert "| files/uploads | us-east-1 | snapshot-15 |" in shown
    assert "remove: past its snapshot retention" in shown
    assert "stays: the last good one" in shown


def test_one_hundred_days_leave_exactly_the_plans_points():
    stores = {A: [], B: [], C: []}
    start = NOW - 100 * DAY
    for hours in range(0, 100 * 24, 4):
        now = start + timedelta(hours=hours)
        for site, points in stores.items():
            points.append(Point("redis", site, f"{hours}", "snapshot", now))
        if now.hour == 4:
            done = decide(
                *(Holding("redis", site, tuple(points)) for site, points in stores.items()),
                limits=Limits(now, DAY),
            )
            assert not any(each.left_alone for each in done.values())
            for (_, site), each in done.items():
                stores[site] = [each_point for each_point in stores[site] if each_point not in each.remove]
    last = NOW - timedelta(hours=8)
    kept = (hours for hours in range(0, 2400, 4) if last - (start + timedelta(hours=hours)) < 7 * DAY)
    expected = [str(hours) for hours in kept]
    assert all([each.name for each in points] == expected for points in stores.values())


def test_the_clock_is_moved_ahead_by_the_environment_only(monkeypatch):
    monkeypatch.delenv(MOVED_CLOCK, raising=False)
    ahead = (datetime.now(UTC) + DAY).isoformat()
    with pytest.raises(Refused, match="before its time"):
        moment_of(ahead, dry_run=False)
    assert moment_of(ahead, dry_run=True).isoformat() == ahead
    monkeypatch.setenv(MOVED_CLOCK, "1")
    assert moment_of(ahead, dry_run=False).isoformat() == ahead


def test_a_moment_that_is_past_or_none_is_taken_and_nonsense_refused():
    assert moment_of("2026-01-01T00:00:00", dry_run=False) == datetime(2026, 1, 1, tzinfo=UTC)
    assert abs((moment_of(None, dry_run=False) - datetime.now(UTC)).total_seconds()) < 60
    with pytest.raises(Refused, match="not a moment"):
        moment_of("tomorrow", dry_run=True)


def test_evidence_is_read_back_as_it_was_written():
    decision = Decision("redis", A, (point(9, asset="redis"),), ("x",), (("y", "why"),))
    evidence = Evidence("id name", NOW, NOW, False, False, (Outcome(decision, "failed"),), NOW)
    adapter = TypeAdapter(Evidence)
    assert adapter.validate_json(adapter.dump_json(evidence)) == evidence
