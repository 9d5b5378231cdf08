"""Comparison of three sites' copies, and healing, over real SeaweedFS stores."""

from datetime import UTC, datetime, timedelta

import pytest
from bucket_stores import STANZA, contents
from repositories import ARCHIVE, BACKUP, FULL, segment, write_point, write_repository, write_restic

from tasks.clients.objects import Bucket
from tasks.compare import compare_buckets
from tasks.copying import Rules, pull_repository
from tasks.facts.backups import Damage
from tasks.heal import heal_object
from tasks.looking import Look
from tasks.policy.comparison import Frame
from tasks.policy.replication import repositories

pytestmark = pytest.mark.lab

ROOTS = repositories(STANZA)
RULES = Rules(now=datetime(2026, 1, 10, tzinfo=UTC))
KEEP = {"full": timedelta(30), "incr": timedelta(7), "wal": timedelta(7), "restic": timedelta(14)}
# A folder of its own for each test: versions of the archive's stay, deleted or not.
FLIPPED = "flipped"


@pytest.fixture
def sites(storage_plan):
    """Every repository, whole, at all three sites."""
    buckets = {site: Bucket.owned(storage_plan, site) for site in ("north", "south", "vault")}
    for bucket in buckets.values():
        for entry in list(bucket.list()):
            bucket.delete(entry.key)
    write_repository(buckets["north"], 3)
    write_restic(buckets["north"])
    write_point(buckets["north"])
    replicate(buckets)
    return buckets


def replicate(buckets, source="north", targets=("south", "vault")):
    for target in targets:
        for of in ROOTS.values():
            pull_repository(buckets[source], buckets[target], of, RULES)
        source = "south"


def frame(active="north", *, grace=timedelta(0), now=None):
    pulls = {"north": {"south": "north", "vault": "south"}, "south": {"north": "south", "vault": "south"}}
    order = tuple(sorted(("north", "south", "vault"), key=lambda site: site != active))
    return Frame(order, pulls[active], grace, KEEP, now or datetime(2026, 1, 10, tzinfo=UTC) + timedelta(0))


def compared(buckets, seen=None):
    # Objects were written by the machine's clock, whatever it says.
    seen = seen or frame(now=datetime.now(UTC))
    keep = {**KEEP, "full": timedelta(100_000), "incr": timedelta(100_000)}
    seen = Frame(seen.sites, seen.upstream, seen.grace, keep, seen.now)
    ordered = {site: buckets[site] for site in seen.sites}
    return [damage for of in ROOTS.values() for damage in compare_buckets(ordered, of, seen)], ordered, seen


def named(buckets, seen=None):
    return {(each.site, each.name) for each in compared(buckets, seen)[0]}


def healed(buckets):
    damages, ordered, seen = compared(buckets)
    done = []
    for damage in damages:
        look = Look(ordered, ROOTS[damage.name.partition("/")[0]], seen)
        done.append(heal_object(look, damage, buckets[damage.site]))
    return done


def a_key(bucket, prefix):
    return next(entry.key for entry in bucket.list(prefix))


PARTS = {
    "a segment": lambda bucket: segment(1),
    "a file of a backup": lambda bucket: f"{FULL}/pg_data/base/1.zst",
    "a backup's manifest": lambda bucket: f"{FULL}/backup.manifest",
    "a pack": lambda bucket: a_key(bucket, "restic/data"),
    "restic's index": lambda bucket: a_key(bucket, "restic/index"),
    "a snapshot": lambda bucket: a_key(bucket, "restic/snapshots"),
    "restic's configuration": lambda bucket: "restic/config",
    "a sealed object": lambda bucket: "points/redis/20260101T000000Z/rdb.age",
    "a point's manifest": lambda bucket: "points/redis/20260101T000000Z/manifest.json",
}


def test_equal_sites_have_no_damage_right_after_replication(sites):
    assert named(sites) == set()


def test_every_kind_of_change_at_every_site_is_named_and_healed(sites):
    good = {site: {root: contents(bucket, root) for root in ROOTS} for site, bucket in sites.items()}
    for site in sites:
        planted = {(site, part(sites[site])) for part in PARTS.values()}
        for _, key in planted:
            sites[site].put(key, bytes(byte ^ 1 for byte in sites[site].get(key)))
        assert named(sites) == planted
        assert {(each.damage.site, bool(each.source)) for each in healed(sites)} == {(site, True)}
        assert named(sites) == set()
    assert good == {site: {root: contents(bucket, root) for root in ROOTS} for site, bucket in sites.items()}


# What restic lacks of packs and indexes is its own check's: it tidies them away at each site on its own.
DELETED = [part for name, part in PARTS.items() if name not in {"a pack", "restic's index"}]


@pytest.mark.parametrize("site", ["north", "south", "vault"])
def test_every_lost_object_is_named_and_brought_back(sites, site):
    planted = {(site, part(sites["north"])) for part in DELETED}
    for _, key in planted:
        sites[site].delete(key)
    assert named(sites) == planted
    healed(sites)
    assert named(sites) == set()


def test_a_damaged_info_file_is_named_while_newer_ones_are_on_their_way(sites):
    key = f"{BACKUP}/backup.info"
    sites["north"].put(key, b"info 2")
    assert named(sites, frame(grace=timedelta(hours=1), now=datetime.now(UTC))) == set()
    assert named(sites) == {("south", key), ("vault", key)}
    sites["south"].put(key, b"Salted__ and then something that is no cipher text")
    assert named(sites, frame(grace=timedelta(hours=1), now=datetime.now(UTC))) == {("south", key)}


def test_what_is_being_written_or_on_its_way_is_no_damage(sites):
    sites["north"].put(segment(3), b"x")
    sites["north"].put(f"{BACKUP}/20260102-020000F/pg_data/1.zst", b"half a backup")
    sites["north"].put("points/redis/20260102T000000Z/rdb.age", b"half a point")
    sites["north"].put("restic/locks/2", b"lock")
    assert named(sites, frame(grace=timedelta(hours=1), now=datetime.now(UTC))) == set()
    assert named(sites) == {("south", segment(3))}


def test_what_expired_at_some_sites_only_is_no_damage(sites):
    for key in (f"{FULL}/backup.manifest", f"{FULL}/pg_data/base/1.zst", segment(0)):
        sites["south"].delete(key)
    for key in (a_key(sites["north"], "restic/snapshots"), a_key(sites["north"], "restic/data")):
        sites["north"].delete(key)
    late = datetime.now(UTC) + timedelta(days=31)
    ordered = {site: sites[site] for site in ("north", "south", "vault")}
    found = [compare_buckets(ordered, of, frame(now=late)) for of in ROOTS.values()]
    assert found == [(), (), ()]


def test_after_a_failover_what_only_the_old_primary_had_is_no_damage(sites):
    sites["north"].put(segment(9), b"never replicated")
    sites["north"].put(f"{BACKUP}/20260109-020000F/backup.manifest", b"nor this")
    sites["south"].put(segment(4), b"of the new primary")
    replicate(sites, "south", ("north", "vault"))
    assert named(sites, frame("south", now=datetime.now(UTC))) == set()


def test_two_that_differ_while_the_third_lacks_it_are_told_apart_by_what_the_copy_recorded(sites):
    for site in ("south", "vault"):
        sites["north"].put(segment(1), b"changed at the source")
        sites["vault"].delete(segment(1))
        assert ("north", segment(1)) in named(sites), site
    [other] = [each for each in healed(sites) if each.damage.site == "north"]
    assert other.source == "south"
    assert sites["north"].get(segment(1)) == b"x"


def test_what_nothing_proves_is_named_at_every_site_and_not_healed(sites):
    for site, content in (("north", b"1"), ("south", b"2"), ("vault", b"3")):
        sites[site].put(f"{ARCHIVE}/15-1/0000000100000000/000000010000000000000007-{'b' * 40}.zst", content)
    damages = compared(sites)[0]
    assert damages
    assert all(isinstance(each, Damage) for each in damages)
    assert all(not each.source for each in healed(sites) if each.damage.site == "north")
