"""Exactly what is past its retention goes: never what something needs, never the last good one."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.facts.backups import Point
from tasks.policy.retention import expire, wal_backups

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
KEEP = {"full": timedelta(days=30), "incr": timedelta(days=7)}


def point(name, days, variant="full", needs=(), good=True):
    at = NOW - timedelta(days=days)
    return Point("database", "us-east-1", name, variant, at, needs=tuple(needs), good=good)


def removed(*points, keep=KEEP):
    return [gone.name for gone in expire(points, keep, NOW).remove]


def test_each_variant_has_its_own_retention():
    assert removed(point("a", 31), point("b", 29), point("c", 8, "incr"), point("d", 6, "incr")) == ["c", "a"]


def test_the_retention_itself_is_the_end():
    assert removed(point("a", 30), point("b", 29.999)) == ["a"]


def test_what_a_staying_point_needs_stays():
    full, first, second = point("f", 8), point("i", 7.1, "incr", ["f"]), point("j", 6.9, "incr", ["i", "f"])
    done = expire([full, first, second], KEEP, NOW)
    assert done.remove == ()
    assert done.spared == (("i", "a point that stays needs it"),)


def test_dependents_go_first():
    assert removed(point("f", 40), point("i", 39, "incr", ["f"]), point("g", 1)) == ["i", "f"]


def test_the_last_good_one_stays_with_all_it_needs():
    points = [point("f", 99), point("i", 98, "incr", ["f"]), point("broken", 1, good=False)]
    done = expire(points, KEEP, NOW)
    assert done.remove == ()
    assert dict(done.spared) == {"f": "a point that stays needs it", "i": "the last good one"}


def test_a_variant_without_a_retention_stays():
    assert removed(point("a", 900, "long-term"), point("b", 1)) == []


def test_points_of_two_sites_are_refused():
    other = Point("database", "us-west-2", "a", "full", NOW)
    with pytest.raises(ValueError, match="too many"):
        expire([point("a", 1), other], KEEP, NOW)


@pytest.mark.parametrize(("ages", "count"), [([9, 8, 6, 1], 3), ([6, 1], 2), ([9, 8], 1), ([9], 1), ([1], 1)])
def test_wal_is_kept_from_the_backup_before_the_retention(ages, count):
    assert wal_backups([point(str(age), age) for age in ages], timedelta(days=7), NOW) == count


def test_backups_with_errors_are_counted_as_pgbackrest_counts_them():
    errored = [point(f"bad{age}", age, "incr", good=False) for age in (5, 3, 1)]
    whole = [point(str(age), age) for age in (9, 6, 2)]
    assert wal_backups([*errored, *whole], timedelta(days=7), NOW) == 6
    older = [point("bad8", 8, "incr", good=False), *whole]
    assert wal_backups(older, timedelta(days=7), NOW) == 4, "no moment is reached from one with errors"
