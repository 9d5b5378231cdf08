"""Buckets, copies and replication against real SeaweedFS stores."""

import hashlib
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import boto3
import obstore
import pytest
from seaweed import Authority, running

from tasks.clients import copies, repository
from tasks.clients.buckets import check_bucket, ensure_bucket
from tasks.clients.copies import copy, is_copy
from tasks.clients.objects import Bucket, Location, Missing
from tasks.errors import Permanent, Transient
from tasks.plan.references import Credentials
from tasks.plan.sites import Storage
from tasks.replicate import copy_newest_wal, copy_repository

pytestmark = pytest.mark.lab

MIB = 1024 * 1024
SITES = ("north", "south", "vault")
STANZA = "main"
ARCHIVE = f"pgbackrest/archive/{STANZA}"
BACKUP = f"pgbackrest/backup/{STANZA}"
FULL = f"{BACKUP}/20260101-020000F"


class StoragePlan:
    """As much of a plan as a bucket needs, over the running stores."""

    def __init__(self, stores):
        self._stores = stores
        self.sites = {
            name: type("Site", (), {"storage": _storage(name, store, "30 days" if name == "vault" else None)})
            for name, store in stores.items()
        }

    def credentials(self, reference):
        name, role = reference.removeprefix("env:").split("_")
        pair = getattr(self._stores[name], role)
        return Credentials(pair.access_key, pair.secret_key)

    def secret(self, _name):
        return self.secret_path(_name).read_text()

    def secret_path(self, _name):
        return self._stores["north"].ca_certificate


def _storage(name, store, lock):
    identities = {"owner": f"env:{name}_owner", "reader": f"env:{name}_reader"}
    return Storage(endpoint=store.endpoint, bucket=store.bucket, object_lock=lock, **identities)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory, authority):
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("s3")
        yield {
            name: stack.enter_context(
                running(folder / name, authority, f"127.77.{at}.51", 18033 + 100 * at, f"test-{name}")
            )
            for at, name in enumerate(SITES)
        }


@pytest.fixture(scope="module")
def plan(stores):
    made = StoragePlan(stores)
    for site in SITES:
        ensure_bucket(made, site)
    return made


@pytest.fixture
def north(plan):
    return emptied(Bucket.owned(plan, "north"))


@pytest.fixture
def south(plan):
    return emptied(Bucket.owned(plan, "south"))


def emptied(bucket):
    for entry in list(bucket.list()):
        bucket.delete(entry.key)
    return bucket


def control(plan, site):
    owner = plan.credentials(plan.sites[site].storage.owner)
    return boto3.client(
        "s3",
        endpoint_url=plan.sites[site].storage.endpoint,
        region_name=site,
        aws_access_key_id=owner.access_key,
        aws_secret_access_key=owner.secret_key,
        verify=str(plan.secret_path("ca_certificate")),
    )


def put_in_parts(bucket, key, data, part):
    obstore.put(bucket.store, key, iter([data]), chunk_size=part)


def test_what_is_written_is_read_and_listed(north):
    north.put("a/b", b"hello")
    assert north.get("a/b") == b"hello"
    assert [(entry.key, entry.size) for entry in north.list("a")] == [("a/b", 5)]
    assert north.head("a/b").etag == hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    assert north.children("")[0] == ["a"]
    north.delete("a/b")
    assert list(north.list()) == []


def test_create_writes_only_where_there_is_nothing(north):
    assert north.create("epoch", b"1") is True
    assert north.create("epoch", b"2") is False
    assert north.get("epoch") == b"1"


@pytest.mark.parametrize("key", ["a//b", "a/../b", "a/./b", "a/", "/a", ""])
def test_keys_that_a_store_would_alter_are_refused(north, key):
    with pytest.raises(Permanent, match="not a safe key"):
        north.put(key, b"x")


def test_a_listing_has_every_object_of_many_pages(north):
    with_threads = [(f"many/{number:05}", b"x") for number in range(2100)]
    for key, data in with_threads:
        north.put(key, data)
    assert [entry.key for entry in north.list("many")] == [key for key, _ in with_threads]


def test_a_missing_object_is_named(north):
    with pytest.raises(Missing, match="no nothing in test-north"):
        north.get("nothing")


def test_a_reader_reads_and_can_neither_write_nor_delete(plan, north):
    north.put("kept", b"1")
    reader = Bucket.readable(plan, "north")
    assert reader.get("kept") == b"1"
    for act in (lambda: reader.put("kept", b"2"), lambda: reader.delete("kept")):
        with pytest.raises(Permanent, match=r"kept in bucket test-north[\s\S]*access denied"):
            act()
    assert north.get("kept") == b"1"


def located(plan, **changes):
    storage = plan.sites["north"].storage
    facts = {
        "endpoint": storage.endpoint,
        "bucket": storage.bucket,
        "region": "north",
        "credentials": plan.credentials(storage.owner),
        "ca_certificate": plan.secret("ca_certificate"),
    }
    return Bucket(Location(**{**facts, **changes}), timeout=3)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"credentials": Credentials("nobody", "wrong")}, Permanent),
        ({"bucket": "test-misspelt"}, Permanent),
        ({"endpoint": "https://127.77.0.51:9"}, Transient),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(plan, changes, error):
    bucket = located(plan, **changes)
    for act in (lambda: bucket.get("a"), lambda: list(bucket.list("a")), lambda: bucket.put("a", b"")):
        with pytest.raises(error, match=bucket.name):
            act()


def test_a_store_of_another_authority_is_not_trusted(plan, tmp_path):
    stranger = Authority(tmp_path).path.read_text()
    with pytest.raises(Permanent, match="certificate"):
        located(plan, ca_certificate=stranger).get("a")


@pytest.mark.parametrize("part", [5 * MIB, 7 * MIB])
def test_a_large_object_arrives_whole_and_is_known_again(north, south, part):
    data = os.urandom(18 * MIB)
    put_in_parts(north, "large", data, part)
    entry = north.head("large")
    assert copy(north, south, entry) == len(data)
    assert south.get("large") == data
    assert is_copy(south, entry)
    assert (south.head("large").etag == entry.etag) is (part == 5 * MIB)


def test_an_object_that_changed_since_it_was_listed_is_not_mixed(north, south):
    put_in_parts(north, "large", os.urandom(17 * MIB), 5 * MIB)
    entry = north.head("large")
    put_in_parts(north, "large", os.urandom(17 * MIB), 5 * MIB)
    with pytest.raises(Transient, match="changed meanwhile"):
        copy(north, south, entry)
    assert list(south.list()) == []


def test_a_copy_that_differs_from_its_source_is_told(north, south, monkeypatch):
    chunks = copies._chunks

    async def damaged(*arguments):
        async for chunk in chunks(*arguments):
            yield bytes(len(chunk))

    put_in_parts(north, "large", os.urandom(17 * MIB), 5 * MIB)
    monkeypatch.setattr(copies, "_chunks", damaged)
    with pytest.raises(Transient, match="differs from its source"):
        copy(north, south, north.head("large"))


_PEAK = """
import resource, sys
sys.path.insert(0, {here!r})
from tasks.clients.copies import copy
from tasks.clients.objects import Bucket, Location
from tasks.plan.references import Credentials
ca = open({ca!r}).read()
north, south = (Bucket(Location(e, b, "x", Credentials(a, s), ca), 120) for e, b, a, s in {sides!r})
entry = north.head("huge")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
copy(north, south, entry)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_huge_object_passes_in_little_memory(stores, north, south):
    part = os.urandom(MIB) * 5
    obstore.put(north.store, "huge", (part for _ in range(60)), chunk_size=5 * MIB)
    pairs = [stores[name] for name in ("north", "south")]
    sides = [(each.endpoint, each.bucket, each.owner.access_key, each.owner.secret_key) for each in pairs]
    script = _PEAK.format(here=str(Path.cwd()), ca=str(pairs[0].ca_certificate), sides=sides)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert south.head("huge").etag == north.head("huge").etag
    assert int(done.stdout) < 100 * 1024


def test_the_archive_keeps_every_version_even_from_its_owner(plan):
    client, bucket = control(plan, "vault"), plan.sites["vault"].storage.bucket
    Bucket.owned(plan, "vault").put("kept", b"1")
    version = client.list_object_versions(Bucket=bucket, Prefix="kept")["Versions"][0]["VersionId"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="kept", VersionId=version)
    Bucket.owned(plan, "vault").put("kept", b"2")
    assert client.get_object(Bucket=bucket, Key="kept", VersionId=version)["Body"].read() == b"1"


def test_a_bucket_is_made_once_and_checked_every_time(plan):
    ensure_bucket(plan, "vault")
    check_bucket(plan, "vault")


def test_a_bucket_that_keeps_less_than_the_plan_says_is_refused(plan, monkeypatch):
    storage = plan.sites["vault"].storage
    monkeypatch.setattr(
        plan.sites["vault"], "storage", storage.model_copy(update={"object_lock": timedelta(90)})
    )
    with pytest.raises(Permanent, match="can lose objects"):
        check_bucket(plan, "vault")


def test_an_unlocked_bucket_is_no_archive(plan, monkeypatch):
    storage = plan.sites["north"].storage
    monkeypatch.setattr(
        plan.sites["north"], "storage", storage.model_copy(update={"object_lock": timedelta(30)})
    )
    with pytest.raises(Permanent):
        check_bucket(plan, "north")


def test_a_bucket_that_is_not_there_is_refused(plan, monkeypatch):
    storage = plan.sites["north"].storage
    monkeypatch.setattr(plan.sites["north"], "storage", storage.model_copy(update={"bucket": "test-none"}))
    with pytest.raises(Permanent):
        check_bucket(plan, "north")


def segment(number, database="15-1"):
    name = f"00000001{number // 256:08X}{number % 256:08X}"
    return f"{ARCHIVE}/{database}/{name[:16]}/{name}-{'a' * 40}.zst"


def write_repository(bucket, segments):
    for number in range(segments):
        bucket.put(segment(number), b"x")
    bucket.put(f"{FULL}/pg_data/base/1.zst", b"data")
    bucket.put(f"{FULL}/backup.manifest", b"manifest")
    for info in (f"{ARCHIVE}/archive.info", f"{BACKUP}/backup.info"):
        bucket.put(info, b"info 1")
        bucket.put(f"{info}.copy", b"info 1")


def contents(bucket):
    return {entry.key: bucket.get(entry.key) for entry in bucket.list("pgbackrest")}


def test_a_copy_is_whole_and_a_second_pass_copies_nothing(north, south):
    write_repository(north, 5)
    done: list[tuple[int, int]] = []
    first = copy_repository(north, south, STANZA, lambda *each: done.append(each))
    assert contents(south) == contents(north)
    assert (first.objects, first.conflicts) == (11, ())
    assert done[-1][0] == done[-1][1]
    second = copy_repository(north, south, STANZA)
    assert (second.objects, second.skipped) == (0, 7)


def test_a_change_of_the_same_size_is_copied(north, south):
    write_repository(north, 2)
    copy_repository(north, south, STANZA)
    north.put(f"{BACKUP}/backup.info", b"info 2")
    assert copy_repository(north, south, STANZA).objects == 1
    assert south.get(f"{BACKUP}/backup.info") == b"info 2"


def test_what_the_source_lost_stays_in_the_copy(north, south):
    write_repository(north, 3)
    copy_repository(north, south, STANZA)
    before = contents(south)
    for key in (segment(1), f"{FULL}/backup.manifest", f"{FULL}/pg_data/base/1.zst"):
        north.delete(key)
    copy_repository(north, south, STANZA)
    assert contents(south) == before


def test_a_segment_overwritten_at_the_source_does_not_reach_the_copy(north, south):
    write_repository(north, 3)
    copy_repository(north, south, STANZA)
    north.put(segment(1), b"encrypted by an intruder")
    assert copy_repository(north, south, STANZA).conflicts == (segment(1),)
    assert south.get(segment(1)) == b"x"


def test_a_copy_that_breaks_off_names_no_backup_that_it_lacks(north, south, monkeypatch):
    write_repository(north, 3)
    real = repository.copy

    def broken(source, target, entry):
        if entry.key.endswith("base/1.zst"):
            raise Transient("the link broke")
        return real(source, target, entry)

    monkeypatch.setattr(repository, "copy", broken)
    with pytest.raises(Transient, match="the link broke"):
        copy_repository(north, south, STANZA)
    held = set(contents(south))
    assert not held & {f"{FULL}/backup.manifest", f"{BACKUP}/backup.info", f"{ARCHIVE}/archive.info"}


def test_a_backup_that_expires_while_it_is_copied_is_tried_again(north, south, monkeypatch):
    write_repository(north, 1)
    real = repository.copy

    def expiring(source, target, entry):
        if entry.key.endswith("base/1.zst"):
            source.delete(entry.key)
        return real(source, target, entry)

    monkeypatch.setattr(repository, "copy", expiring)
    with pytest.raises(Transient, match="the source changed"):
        copy_repository(north, south, STANZA)
    assert f"{BACKUP}/backup.info" not in contents(south)


def test_a_backup_that_finishes_while_another_is_copied_is_not_named_before_it_is_there(
    north, south, monkeypatch
):
    write_repository(north, 1)
    read = repository.read_infos

    def then_finishes(source, stanza):
        found = read(source, stanza)
        north.put(f"{BACKUP}/backup.info", b"info 2")
        return found

    monkeypatch.setattr(repository, "read_infos", then_finishes)
    copy_repository(north, south, STANZA)
    assert south.get(f"{BACKUP}/backup.info") == b"info 1"


def test_a_quick_pass_brings_new_wal_and_fills_missing_directories(north, south):
    # A database id of its own: SeaweedFS goes on listing the folders that other tests emptied.
    def wal(number):
        return segment(number, "15-2")

    write_repository(north, 0)
    for number in (1, 2, 257, 600, 900):
        north.put(wal(number), b"x")
    assert copy_newest_wal(north, south, STANZA).objects == 7
    assert wal(1) in contents(south)
    north.put(wal(901), b"x")
    north.put(f"{ARCHIVE}/15-2/00000002.history", b"history")
    assert copy_newest_wal(north, south, STANZA).objects == 2
    assert copy_newest_wal(north, south, STANZA).objects == 0
    assert {f"{ARCHIVE}/archive.info", f"{ARCHIVE}/15-2/00000002.history"} <= set(contents(south))
    assert f"{BACKUP}/backup.info" not in contents(south)


def test_the_archive_takes_a_copy_and_only_what_is_new(plan, north):
    write_repository(north, 3)
    vault = Bucket.owned(plan, "vault")
    assert copy_repository(north, vault, STANZA).objects == 9
    assert copy_repository(north, vault, STANZA).objects == 0


def test_a_bucket_without_the_stanza_is_refused(north, south):
    with pytest.raises(Permanent, match=r"archive\.info"):
        copy_repository(north, south, STANZA)
