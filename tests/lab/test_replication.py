"""Replication between real SeaweedFS stores."""

from datetime import UTC, datetime, timedelta

import pytest
from bucket_stores import STANZA, contents
from repositories import ARCHIVE, BACKUP, FULL, segment, write_point, write_repository, write_restic

from tasks import copying
from tasks.clients import courier
from tasks.clients.objects import Bucket
from tasks.copying import Rules, pull_newest_wal, pull_repository
from tasks.errors import Permanent, Transient
from tasks.policy.replication import repositories

pytestmark = pytest.mark.lab

REPOSITORIES = repositories(STANZA)
RULES = Rules(now=datetime(2026, 1, 10, tzinfo=UTC))


def copy_repository(source, target, root="pgbackrest", *, progress=None, rules=RULES):
    return pull_repository(source, target, REPOSITORIES[root], rules, progress)


def copy_newest_wal(source, target):
    return pull_newest_wal(source, target, STANZA, RULES)


def test_a_copy_is_whole_and_a_second_pass_copies_nothing(north, south):
    write_repository(north, 5)
    done: list[tuple[int, int]] = []
    first = copy_repository(north, south, progress=lambda *each: done.append(each))
    assert contents(south) == contents(north)
    assert (first.objects, first.conflicts) == (11, ())
    assert done[-1][0] == done[-1][1]
    second = copy_repository(north, south)
    assert (second.objects, second.skipped) == (0, 7)


def test_a_change_of_the_same_size_is_copied(north, south):
    write_repository(north, 2)
    copy_repository(north, south)
    north.put(f"{BACKUP}/backup.info", b"info 2")
    assert copy_repository(north, south).objects == 1
    assert south.get(f"{BACKUP}/backup.info") == b"info 2"


def test_what_the_source_lost_stays_in_the_copy_and_is_told(north, south):
    write_repository(north, 3)
    copy_repository(north, south)
    before = contents(south)
    for key in (segment(1), f"{FULL}/backup.manifest", f"{FULL}/pg_data/base/1.zst"):
        north.delete(key)
    north.put(f"{BACKUP}/backup.info", b"info 2")
    assert copy_repository(north, south).conflicts == (f"{FULL}/backup.manifest",)
    assert contents(south) == before


def test_what_the_plan_no_longer_keeps_may_go_at_the_source_and_is_not_copied_again(north, south):
    write_repository(north, 3)
    copy_repository(north, south)
    for key in (f"{FULL}/backup.manifest", f"{FULL}/pg_data/base/1.zst"):
        north.delete(key)
        south.delete(key)
    north.put(f"{BACKUP}/backup.info", b"info 2")
    done = copy_repository(north, south, rules=Rules(now=RULES.now + timedelta(days=22)))
    assert (done.objects, done.conflicts) == (1, ())
    assert south.get(f"{BACKUP}/backup.info") == b"info 2"


def test_a_backup_that_the_copy_took_itself_while_it_was_active_is_no_loss_of_the_source(north, south):
    write_repository(north, 1)
    copy_repository(north, south)
    mine = f"{BACKUP}/20260105-020000F/backup.manifest"
    south.put(mine, b"of my own time")
    north.put(f"{BACKUP}/backup.info", b"info 2")
    done = copy_repository(north, south)
    assert (done.objects, done.conflicts, done.kept) == (1, (), ("20260105-020000F",))
    assert south.get(mine) == b"of my own time"


def info_of(system):
    return f'[db]\ndb-id=1\ndb-system-id={system}\n\n[db:history]\n1={{"db-id":{system}}}\n'.encode()


def test_another_cluster_in_the_sources_place_is_a_conflict_and_nothing_is_copied(north, south):
    write_repository(north, 2)
    for info in (f"{ARCHIVE}/archive.info", f"{ARCHIVE}/archive.info.copy"):
        north.put(info, info_of(7569000000000000001))
    copy_repository(north, south)
    before = contents(south)
    for info in (f"{ARCHIVE}/archive.info", f"{ARCHIVE}/archive.info.copy"):
        north.put(info, info_of(7569000000000000002))
    north.put(segment(2), b"of another cluster")
    for pull in (copy_repository, copy_newest_wal):
        assert pull(north, south).conflicts == (f"{ARCHIVE}/archive.info", f"{ARCHIVE}/archive.info.copy")
    assert contents(south) == before


def test_a_segment_overwritten_at_the_source_does_not_reach_the_copy(north, south):
    write_repository(north, 3)
    copy_repository(north, south)
    north.put(segment(1), b"encrypted by an intruder")
    assert copy_repository(north, south).conflicts == (segment(1),)
    assert south.get(segment(1)) == b"x"


def test_a_copy_that_breaks_off_names_no_backup_that_it_lacks(north, south, monkeypatch):
    write_repository(north, 3)
    real = courier.copy

    def broken(source, target, entry, promised):
        if entry.key.endswith("base/1.zst"):
            raise Transient("the link broke")
        return real(source, target, entry, promised)

    monkeypatch.setattr(courier, "copy", broken)
    with pytest.raises(Transient, match="the link broke"):
        copy_repository(north, south)
    held = set(contents(south))
    assert not held & {f"{FULL}/backup.manifest", f"{BACKUP}/backup.info", f"{ARCHIVE}/archive.info"}


def test_a_backup_that_expires_while_it_is_copied_is_tried_again(north, south, monkeypatch):
    write_repository(north, 1)
    real = courier.copy

    def expiring(source, target, entry, promised):
        if entry.key.endswith("base/1.zst"):
            source.delete(entry.key)
        return real(source, target, entry, promised)

    monkeypatch.setattr(courier, "copy", expiring)
    with pytest.raises(Transient, match="the source changed"):
        copy_repository(north, south)
    assert f"{BACKUP}/backup.info" not in contents(south)


def test_a_backup_that_finishes_while_another_is_copied_is_not_named_before_it_is_there(
    north, south, monkeypatch
):
    write_repository(north, 1)
    listing = copying.side_by_side

    def then_finishes(buckets, prefix):
        north.put(f"{BACKUP}/backup.info", b"info 2")
        return listing(buckets, prefix)

    monkeypatch.setattr(copying, "side_by_side", then_finishes)
    copy_repository(north, south)
    assert south.get(f"{BACKUP}/backup.info") == b"info 1"


def test_a_quick_pass_brings_new_wal_and_fills_missing_directories(north, south):
    # A database id of its own: SeaweedFS goes on listing the folders that other tests emptied.
    def wal(number):
        return segment(number, "15-2")

    write_repository(north, 0)
    for number in (1, 2, 257, 600, 900):
        north.put(wal(number), b"x")
    assert copy_newest_wal(north, south).objects == 7
    assert wal(1) in contents(south)
    north.put(wal(901), b"x")
    north.put(f"{ARCHIVE}/15-2/00000002.history", b"history")
    assert copy_newest_wal(north, south).objects == 2
    assert copy_newest_wal(north, south).objects == 0
    assert {f"{ARCHIVE}/archive.info", f"{ARCHIVE}/15-2/00000002.history"} <= set(contents(south))
    assert f"{BACKUP}/backup.info" not in contents(south)


def test_the_archive_takes_a_copy_and_only_what_is_new(storage_plan, north):
    write_repository(north, 3)
    vault = Bucket.owned(storage_plan, "vault")
    assert copy_repository(north, vault).objects == 9
    assert copy_repository(north, vault).objects == 0


def test_a_bucket_without_the_stanza_is_refused(north, south):
    with pytest.raises(Permanent, match=r"archive\.info"):
        copy_repository(north, south)


def test_a_restic_repository_is_copied_without_its_locks_and_what_was_forgotten_is_kept(north, south):
    write_restic(north)
    assert copy_repository(north, south, "restic").objects == 5
    held = contents(south, "restic")
    assert held == {key: data for key, data in contents(north, "restic").items() if "locks" not in key}
    for entry in list(north.list("restic/snapshots")):
        north.delete(entry.key)
    assert copy_repository(north, south, "restic").objects == 0
    assert contents(south, "restic") == held


@pytest.mark.parametrize("lost", [False, True])
def test_another_restic_repository_at_the_source_is_a_conflict_and_nothing_is_copied(north, south, lost):
    write_restic(north)
    copy_repository(north, south, "restic")
    before = contents(south, "restic")
    north.put("restic/config", b"two")
    north.put("restic/data/cd/" + "c" * 64, b"new")
    if lost:
        north.delete("restic/config")
    assert copy_repository(north, south, "restic").conflicts == ("restic/config",)
    assert contents(south, "restic") == before


def test_a_pack_that_was_flipped_at_the_source_does_not_travel_nor_what_names_it(north, south):
    write_restic(north, damaged=True)
    done = copy_repository(north, south, "restic")
    [key] = done.refused
    assert key.startswith("restic/data/ab/")
    assert {each.split("/")[1] for each in contents(south, "restic")} == {"config", "keys"}


def test_points_are_copied_whole_or_not_at_all(north, south):
    whole, damaged = write_point(north), write_point(north, "secrets/plan", "0" * 64)
    north.put("points/redis/20260102T000000Z/rdb.age", b"being written")
    done = copy_repository(north, south, "points")
    assert set(contents(south, "points")) == {f"{whole}/rdb.age", f"{whole}/manifest.json"}
    assert (done.refused, done.postponed) == ((f"{damaged}/rdb.age",), 1)
    assert copy_repository(north, south, "points").objects == 0


@pytest.mark.parametrize("root", ["restic", "points"])
def test_a_repository_that_nobody_wrote_yet_is_nothing_to_copy(north, south, root):
    assert copy_repository(north, south, root).objects == 0
