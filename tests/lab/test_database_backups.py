"""The database's backups: taken from a standby, copied, damaged on purpose, restored, and expired."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tasks.clients import patroni, pgbackrest
from tasks.clients.digests import digests_of
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.psql import Psql
from tasks.errors import Refused
from tasks.policy.backup_points import database_points
from tasks.restore_database import choose_place, open_restored, put_away, restore_files, start_newest

pytestmark = pytest.mark.lab
_ROOT = "pgbackrest"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def lab(shared_lab):
    lab = shared_lab()
    plan, site = lab.plan, lab.plan.site_of("primary")
    sql(lab, "create table if not exists kept (id int, note text)")
    sql(lab, "insert into kept select g, md5(g::text) from generate_series(1, 20000) g")
    lab.dr("run", "backup-database", "--param", "kind=full")
    lab.dr("run", "backup-database", "--param", "kind=incr")
    sql(lab, "insert into kept values (0, 'after the backups'); select pg_switch_wal()")
    pgbackrest.check(plan, site, patroni.leader(plan, site).name)
    lab.dr("run", "replicate-backups")
    return lab


def live(lab):
    site = lab.plan.site_of("primary")
    return Psql(lab.plan, site, patroni.leader(lab.plan, site).name)


def sql(lab, text):
    return live(lab).query(text, database=lab.plan.service.database)


def backups(lab, site):
    return pgbackrest.info_of(lab.plan, site)["backup"]


def test_backups_are_taken_from_a_standby(lab):
    site = lab.plan.site_of("primary")
    leader = patroni.leader(lab.plan, site).name
    roots = {host: Layout.of(lab.plan, site, host).root for host in lab.plan.sites[site].running("postgres")}
    readers = [host for host, root in roots.items() if any(root.glob("var/log/pgbackrest/*-backup.log"))]
    assert readers
    assert leader not in readers


def test_each_sites_newest_copy_starts_with_all_its_wal(lab):
    for site in lab.plan.sites:
        seen = start_newest.fn(lab.plan, site)
        assert seen.damages == ()
        assert seen.objects >= 20001


def test_a_restore_from_the_archive_holds_what_the_source_holds(lab):
    source = steady(digests_of(live(lab)))
    assert steady(restored(lab, lab.plan.site_of("archive")).digests) == source


def test_a_restore_to_a_backups_end_lacks_what_came_after_it(lab):
    site = lab.plan.site_of("primary")
    found = restored(lab, site, label=backups(lab, site)[-1]["label"]).digests
    assert found[f"{lab.plan.service.database}/public.kept"].rows == 20000


def test_the_flow_restores_beside_and_leaves_nothing(lab):
    told = lab.dr("run", "restore-database", "--param", "host=postgres-dr-2")
    assert told
    live_directory = Layout.of(lab.plan, lab.plan.site_of("dr"), "postgres-dr-2").data_dir
    assert [path.name for path in live_directory.parent.glob("dr-*")] == []


def test_a_live_directory_is_no_place_to_restore_into(lab):
    directory = Layout.of(lab.plan, lab.plan.site_of("dr"), "postgres-dr-2").data_dir
    for place in (directory, directory / "base", directory.parent, "relative"):
        with pytest.raises(Refused, match="no place"):
            choose_place(lab.plan, "eu-west-1", "postgres-dr-2", str(place), keep=False, now=NOW)
    with pytest.raises(Refused, match="not empty"):
        choose_place(
            lab.plan, "eu-west-1", "postgres-dr-2", str(lab.home.directory / "bin"), keep=False, now=NOW
        )


def test_every_kind_of_damage_is_named(lab):
    # Not in a copy: the next pull, seconds later, mends its info files.
    site = lab.plan.site_of("primary")
    assert pgbackrest.verify(lab.plan, site, timeout=120) == ()
    keys = [entry.key for entry in Bucket.owned(lab.plan, site).list(_ROOT) if entry.size]
    victims = [next(key for key in keys if kind in key and key.endswith(end)) for kind, end in _KINDS]
    with flipped(lab, site, victims):
        found = pgbackrest.verify(lab.plan, site, timeout=200)
    named = " ".join(name for name, _ in found)
    for key in victims:
        # A bundle is told by the files inside it.
        name = key.split("/bundle/")[0].split("/")[-1] if "/bundle/" in key else key.split("/")[-1]
        assert name in named, (key, found)


_KINDS = (
    ("/archive/", ".zst"), ("/archive/", ".backup"), ("/archive/", "archive.info"),
    ("/bundle/", ""), ("/backup/", "F/backup.manifest"), ("/backup/", "backup.info.copy"),
    ("/backup.history/", ".gz"),
)  # fmt: skip


def test_the_segment_on_which_verification_gives_up_is_named(lab):
    site = lab.plan.site_of("primary")
    keys = (entry.key for entry in Bucket.owned(lab.plan, site).list(f"{_ROOT}/archive"))
    first = min(key for key in keys if key.endswith(".zst"))
    with flipped(lab, site, [first], at=20):
        found = pgbackrest.verify(lab.plan, site, timeout=200)
    assert [name.rpartition("/")[2] for name, _ in found] == [first.rpartition("/")[2]]


def test_a_copy_with_damage_does_not_start_unseen(lab):
    site = lab.plan.site_of("dr")
    keys = [entry.key for entry in Bucket.owned(lab.plan, site).list(_ROOT) if "/bundle/" in entry.key]
    with flipped(lab, site, keys[-1:]):
        assert start_newest.fn(lab.plan, site).damages
    assert start_newest.fn(lab.plan, site).damages == ()


def test_expiry_removes_what_it_is_told_and_nothing_else(lab):
    lab.dr("run", "backup-database", "--param", "kind=full")
    lab.dr("run", "replicate-backups")
    for site in lab.plan.sites:
        before = [point.name for point in database_points(pgbackrest.info_of(lab.plan, site), site)]
        doomed = next(name for name in before if name.endswith("I"))
        pgbackrest.expire(lab.plan, site, sets=[doomed], wal_backups=len(before), timeout=60)
        after = [point.name for point in database_points(pgbackrest.info_of(lab.plan, site), site)]
        assert after == [name for name in before if name != doomed]


def restored(lab, site, *, label=None):
    plan = lab.plan
    place = choose_place(plan, site, None, None, keep=False, now=NOW)
    try:
        restore_files.fn(plan, place, label)
        return open_restored.fn(plan, place)
    finally:
        put_away.fn(plan, place, keep=False)
        assert not place.directory.exists()


def steady(digests):
    """Without what the flows write of themselves all the time."""
    return {name: each for name, each in digests.items() if "naas_dr." not in name}


@contextmanager
def flipped(lab, site, keys, at=None):
    """One bit of each object is wrong, in its middle or at a byte."""
    bucket = Bucket.owned(lab.plan, site)
    good = {key: bucket.get(key) for key in keys}
    try:
        for key, data in good.items():
            bad = bytearray(data)
            bad[len(bad) // 2 if at is None else at] ^= 4
            bucket.put(key, bytes(bad))
        yield
    finally:
        for key, data in good.items():
            bucket.put(key, data)
