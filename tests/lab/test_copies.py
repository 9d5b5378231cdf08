"""Copies of single objects between real SeaweedFS stores."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import obstore
import pytest
from bucket_stores import MIB

from tasks.clients import copies
from tasks.clients.copies import Corrupt, copy, is_copy
from tasks.errors import Transient

pytestmark = pytest.mark.lab


def put_in_parts(bucket, key, data, part):
    obstore.put(bucket.store, key, iter([data]), chunk_size=part)


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
    proven = copies._proven

    def damaged(*arguments):
        for part in proven(*arguments):
            yield bytes(len(part))

    put_in_parts(north, "large", os.urandom(17 * MIB), 5 * MIB)
    monkeypatch.setattr(copies, "_proven", damaged)
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


def test_a_huge_object_passes_in_little_memory(storage_plan, north, south):
    part = os.urandom(MIB) * 5
    obstore.put(north.store, "huge", (part for _ in range(60)), chunk_size=5 * MIB)
    pairs = [storage_plan.stores[name] for name in ("north", "south")]
    sides = [(each.endpoint, each.bucket, each.owner.access_key, each.owner.secret_key) for each in pairs]
    script = _PEAK.format(here=str(Path.cwd()), ca=str(pairs[0].ca_certificate), sides=sides)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert south.head("huge").etag == north.head("huge").etag
    assert int(done.stdout) < 100 * 1024


@pytest.mark.parametrize("size", [100, 17 * MIB])
def test_an_object_that_is_not_what_its_name_promises_does_not_travel(north, south, size):
    data = os.urandom(size)
    put_in_parts(north, "pack", data, 5 * MIB)
    with pytest.raises(Corrupt, match="pack in test-north is damaged"):
        copy(north, south, north.head("pack"), "0" * 64)
    assert list(south.list()) == []
    assert copy(north, south, north.head("pack"), hashlib.sha256(data).hexdigest()) == size
