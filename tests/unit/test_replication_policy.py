from datetime import UTC, datetime, timedelta

import pytest

from tasks.clients.merging import merged, side_by_side
from tasks.clients.objects import Entry
from tasks.errors import Refused
from tasks.policy.replication import (
    Pull,
    label_of,
    lost_backups,
    recent_directories,
    replication_pairs,
    repositories,
)
from tasks.policy.sieve import Sieve, is_same

ROLES = {"north": "primary", "south": "dr", "vault": "archive"}
AT = datetime(2026, 1, 1, tzinfo=UTC)
FULL = "pgbackrest/backup/main/20260101-020000F"
INCR = "pgbackrest/backup/main/20260101-020000F_20260101-060000I"
WAL = "pgbackrest/archive/main/15-1/0000000100000000/000000010000000000000003-" + "a" * 40 + ".zst"


def entry(key, size=1, etag="e"):
    return Entry(key, size, etag, AT)


def sifted(root, source, held=()):
    """What is copied at once, what later, and the sieve itself, over one listing of each side."""
    sides = [[each if isinstance(each, Entry) else entry(each) for each in side] for side in (source, held)]
    sieve = Sieve(repositories("main")[root])
    now = list(sieve.sift(merged([sorted(side, key=lambda each: each.key) for side in sides])))
    return [item.entry.key for item in now], [item.entry.key for item in sieve.late], sieve


def finals(root, source, held):
    sides = [sorted(side, key=lambda each: each.key) for side in (source, held)]
    sieve = Sieve(repositories("main")[root])
    return {item.entry.key for item in [*sieve.sift(merged(sides)), *sieve.late] if item.final}


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
        "pgbackrest/archive/main/archive.info",
        f"{FULL}/backup.manifest",
        f"{FULL}/backup.manifest.copy",
        "pgbackrest/backup/main/backup.info.copy",
        f"{FULL}/pg_data/base/1/1.zst",
        WAL,
    ]
    now, late, _ = sifted("pgbackrest", listing)
    assert now == [WAL, f"{FULL}/pg_data/base/1/1.zst"]
    assert late == [f"{FULL}/backup.manifest", f"{FULL}/backup.manifest.copy"]


def test_a_backup_that_is_still_being_written_is_postponed():
    listing = [f"{FULL}/backup.manifest", f"{INCR}/backup.manifest.copy", f"{INCR}/pg_data/1.zst"]
    now, late, sieve = sifted("pgbackrest", listing)
    assert (now, late) == ([], [f"{FULL}/backup.manifest"])
    assert sieve.postponed == 2


@pytest.mark.parametrize("root", ["pgbackrest", "restic", "points"])
def test_what_is_the_same_is_skipped(root):
    key = {"pgbackrest": WAL, "restic": "restic/data/aa/1", "points": "points/redis/S/manifest.json"}[root]
    now, late, sieve = sifted(root, [key], [key])
    assert (now, late, sieve.same) == ([], [], 1)


def test_a_segment_or_a_file_of_a_finished_copy_is_final():
    file, manifest = f"{FULL}/pg_data/1.zst", f"{FULL}/backup.manifest"
    changed, held = [entry(WAL, etag="new"), entry(file, etag="new"), entry(manifest)], [WAL, file, manifest]
    assert finals("pgbackrest", changed, [entry(key) for key in held]) == {WAL, file}


def test_a_file_that_a_finished_copy_lost_is_brought_back():
    file, manifest = f"{FULL}/pg_data/1.zst", f"{FULL}/backup.manifest"
    assert finals("pgbackrest", [entry(manifest), entry(file)], [entry(manifest)]) == set()
    assert sifted("pgbackrest", [manifest, file], [manifest])[0] == [file]


def test_a_half_copied_backup_may_still_change():
    file, manifest = f"{FULL}/pg_data/1.zst", f"{FULL}/backup.manifest"
    assert finals("pgbackrest", [entry(manifest), entry(file, etag="new")], [entry(file)]) == set()


def test_what_the_source_lost_is_never_part_of_the_order_and_is_named():
    now, late, sieve = sifted("pgbackrest", [], [WAL, f"{FULL}/backup.manifest", f"{FULL}/pg_data/1.zst"])
    assert (now, late, sieve.kept) == ([], [], [FULL.rpartition("/")[2]])


def test_a_point_is_copied_with_its_manifest_last_and_not_before_it_is_whole():
    point, other = "points/secrets/plan/20260101T000000Z", "points/redis/20260101T000000Z"
    listing = [
        f"{point}/a.age",
        f"{point}/manifest.json",
        f"{point}/z.age",
        f"{other}/rdb.age",
        f"{other}/claim",
    ]
    now, late, sieve = sifted("points", listing)
    assert (now, late) == ([f"{point}/a.age", f"{point}/z.age"], [f"{point}/manifest.json"])
    assert sieve.postponed == 1


def test_locks_are_never_copied_and_packs_are_promised_by_their_names():
    restic = repositories("main")["restic"]
    assert restic.ignored("restic/locks/1")
    assert restic.digest(f"restic/data/ab/{'ab' * 32}") == "ab" * 32
    assert restic.digest("restic/config") is None


NOW = datetime(2026, 1, 31, tzinfo=UTC)
KEEP = {"full": timedelta(days=30), "incr": timedelta(days=7)}


@pytest.mark.parametrize(
    ("label", "lost"),
    [
        ("20260130-020000F", True),
        ("20260103-020000F", True),
        ("20260101-000000F", False),
        ("20260101-020000F_20260130-060000I", True),
        ("20260101-020000F_20260123-060000I", False),
    ],
)
def test_a_backup_that_the_plan_still_keeps_is_lost_and_an_expired_one_is_not(label, lost):
    assert lost_backups([label], KEEP, NOW) == ([label] if lost else [])


class Listing:
    def __init__(self, *keys):
        self.keys = keys

    def list(self, _prefix):
        return iter([entry(key) for key in self.keys])


def test_a_store_that_follows_folders_is_compared_all_the_same():
    by_folder = "a/b/1", "a/b/2", "a/b-c"
    rows = list(side_by_side([Listing(*by_folder), Listing("a/b-c", "a/b/1")], "a"))
    last = {(row[0] or row[1]).key: [each is not None for each in row] for row in rows}
    assert last == {"a/b-c": [True, True], "a/b/1": [True, True], "a/b/2": [True, False]}


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
