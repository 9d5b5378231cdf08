from datetime import UTC, datetime

import pytest

from tasks.clients.objects import Entry
from tasks.errors import Refused
from tasks.policy.replication import (
    Pull,
    is_same,
    label_of,
    order_copy,
    recent_directories,
    replication_pairs,
)

ROLES = {"north": "primary", "south": "dr", "vault": "archive"}
AT = datetime(2026, 1, 1, tzinfo=UTC)
FULL = "pgbackrest/backup/main/20260101-020000F"
INCR = "pgbackrest/backup/main/20260101-020000F_20260101-060000I"
WAL = "pgbackrest/archive/main/15-1/0000000100000000/000000010000000000000003-" + "a" * 40 + ".zst"


def entry(key, size=1, etag="e"):
    return Entry(key, size, etag, AT)


def keys(entries):
    return [each.key for each in entries]


def test_the_dr_site_pulls_from_the_active_primary_and_the_archive_from_the_dr_site():
    assert replication_pairs(ROLES, "north") == (Pull("north", "south"), Pull("south", "vault"))


def test_after_a_failover_the_old_primary_and_the_archive_pull_from_the_dr_site():
    assert replication_pairs(ROLES, "south") == (Pull("south", "north"), Pull("south", "vault"))


@pytest.mark.parametrize("active", ["north", "south"])
def test_nothing_is_copied_into_the_active_site(active):
    assert active not in {pull.target for pull in replication_pairs(ROLES, active)}


@pytest.mark.parametrize("active", ["vault", "elsewhere"])
def test_a_site_that_cannot_be_active_is_refused(active):
    with pytest.raises(Refused, match="cannot be the active site"):
        replication_pairs(ROLES, active)


def test_same_size_and_etag_is_the_same_object():
    assert is_same(entry("a"), entry("a")) is True


def test_a_change_of_the_same_size_is_not_taken_for_the_same():
    assert is_same(entry("a", etag="new"), entry("a", etag="old")) is None


@pytest.mark.parametrize("held", [None, entry("a", size=2)])
def test_a_missing_or_differently_sized_object_differs(held):
    assert is_same(entry("a"), held) is False


def test_data_and_wal_go_before_the_manifests_and_info_files_are_left_to_the_end():
    listing = [
        entry("pgbackrest/archive/main/archive.info"),
        entry(f"{FULL}/backup.manifest"),
        entry(f"{FULL}/backup.manifest.copy"),
        entry("pgbackrest/backup/main/backup.info.copy"),
        entry(f"{FULL}/pg_data/base/1/1.zst"),
        entry(WAL),
    ]
    order = order_copy(listing, set(), set(keys(listing)))
    assert [keys(phase) for phase in order.phases] == [
        [WAL, f"{FULL}/pg_data/base/1/1.zst"],
        [f"{FULL}/backup.manifest", f"{FULL}/backup.manifest.copy"],
    ]


def test_a_backup_that_is_still_being_written_is_postponed():
    listing = [
        entry(f"{FULL}/backup.manifest"),
        entry(f"{INCR}/backup.manifest.copy"),
        entry(f"{INCR}/pg_data/1.zst"),
    ]
    order = order_copy(listing, set(), set(keys(listing)))
    assert keys(order.phases[0]) == []
    assert keys(order.phases[1]) == [f"{FULL}/backup.manifest"]
    assert order.postponed == 2


def test_what_is_the_same_is_skipped():
    listing = [entry(WAL)]
    assert order_copy(listing, {WAL}, set()).skipped == 1


def test_a_segment_rewritten_at_the_source_is_a_conflict_and_the_copy_is_kept():
    order = order_copy([entry(WAL)], {WAL}, {WAL})
    assert order.conflicts == (WAL,)
    assert order.phases == ((), ())


def test_a_finished_backup_rewritten_at_the_source_is_a_conflict():
    listing = [entry(f"{FULL}/backup.manifest"), entry(f"{FULL}/pg_data/1.zst")]
    order = order_copy(listing, set(keys(listing)), {f"{FULL}/pg_data/1.zst"})
    assert order.conflicts == (f"{FULL}/pg_data/1.zst",)


def test_a_file_that_a_finished_copy_lost_is_brought_back():
    listing = [entry(f"{FULL}/backup.manifest"), entry(f"{FULL}/pg_data/1.zst")]
    order = order_copy(listing, {f"{FULL}/backup.manifest"}, {f"{FULL}/pg_data/1.zst"})
    assert keys(order.phases[0]) == [f"{FULL}/pg_data/1.zst"]


def test_a_half_copied_backup_may_still_change():
    listing = [entry(f"{FULL}/backup.manifest"), entry(f"{FULL}/pg_data/1.zst")]
    order = order_copy(listing, {f"{FULL}/pg_data/1.zst"}, set(keys(listing)))
    assert order.conflicts == ()


def test_what_the_source_lost_is_never_part_of_the_order():
    order = order_copy([], {WAL, f"{FULL}/backup.manifest"}, set())
    assert order.phases == ((), ())


FOLDERS = [f"15-1/00000001000000{number:02X}" for number in range(6)]


@pytest.mark.parametrize(
    ("held", "looked_into"),
    [
        (FOLDERS, FOLDERS[-2:]),
        (FOLDERS[1:], [FOLDERS[0], *FOLDERS[-2:]]),
        (FOLDERS[:4], FOLDERS[2:]),
        ([], FOLDERS),
    ],
)
def test_a_quick_pass_looks_where_wal_may_be_new_or_a_pass_broke_off(held, looked_into):
    assert recent_directories(FOLDERS, held) == looked_into


def test_a_quick_pass_over_nothing_looks_nowhere():
    assert recent_directories([], FOLDERS) == []


def test_the_label_is_read_from_the_folder():
    assert label_of(f"{INCR}/pg_data/x") == "20260101-020000F_20260101-060000I"
    assert label_of("pgbackrest/backup/main/backup.history/2026/20260101-020000F.manifest.gz") is None
