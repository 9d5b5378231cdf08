"""Many records of a long disaster are read at once, and each version of one is read once only."""

from datetime import UTC, datetime

import pytest

from tasks.clients import records
from tasks.clients.objects import Entry
from tasks.errors import Transient

NOW = datetime(2026, 11, 23, tzinfo=UTC)
COUNT = 200


class Bucket:
    """A bucket in memory that counts what it is asked."""

    def __init__(self):
        self.objects = {f"incidents/a/told/{number:04}.json": f"{number}" for number in range(COUNT)}
        self.read_keys, self.listed, self.broken = [], [], set()

    def list(self, prefix):
        self.listed.append(prefix)
        return [self.entry(key) for key in self.objects if key.startswith(prefix)]

    def read(self, key):
        self.read_keys.append(key)
        if key in self.broken:
            raise Transient(f"cannot read {key}")
        return self.entry(key), self.objects[key].encode()

    def entry(self, key):
        return Entry(key, len(self.objects[key]), f"etag-{self.objects[key]}", NOW)


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setattr(records, "_read_before", {})
    return Bucket()


def test_each_version_is_read_once(bucket):
    first = records._texts("incidents/a/told/", bucket)
    assert first == bucket.objects
    assert sorted(bucket.read_keys) == sorted(bucket.objects)
    changed = "incidents/a/told/0007.json"
    bucket.objects[changed] = "anew"
    assert records._texts("incidents/a/told/", bucket)[changed] == "anew"
    assert bucket.read_keys[COUNT:] == [changed]


def test_only_what_begins_so_is_listed_and_read(bucket):
    bucket.objects["incidents/a/untold.json"] = "other"
    found = records._texts("incidents/a/told/000", bucket)
    assert sorted(found) == [f"incidents/a/told/{number:04}.json" for number in range(10)]
    assert bucket.listed == ["incidents/a/told"]


def test_what_cannot_be_read_is_not_left_out(bucket):
    bucket.broken.add("incidents/a/told/0100.json")
    with pytest.raises(Transient):
        records._texts("incidents/a/told/", bucket)


def test_what_is_remembered_has_a_limit(bucket, monkeypatch):
    monkeypatch.setattr(records, "_REMEMBERED", 50)
    for _ in range(2):
        assert records._texts("incidents/a/told/", bucket) == bucket.objects
    assert len(records._read_before) <= 50
