"""Buckets against real SeaweedFS stores."""

import hashlib
from datetime import timedelta

import pytest
from seaweed import Authority

from tasks.clients.buckets import check_bucket, ensure_bucket
from tasks.clients.objects import Bucket, Location, Missing
from tasks.errors import Permanent, Transient
from tasks.plan.references import Credentials

pytestmark = pytest.mark.lab


@pytest.fixture
def plan(storage_plan):
    return storage_plan


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


def test_replace_writes_only_over_the_version_that_was_seen(north):
    headers = {"Content-Type": "text/plain"}
    assert north.replace("page", b"1", None, headers) is True
    assert north.replace("page", b"2", None, headers) is False
    seen = north.head("page").etag
    assert north.replace("page", b"2", seen, headers) is True
    assert north.replace("page", b"3", seen, headers) is False
    assert north.get("page") == b"2"


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


def test_the_archive_keeps_every_version_even_from_its_owner(plan):
    client, bucket = plan.control("vault"), plan.sites["vault"].storage.bucket
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
