"""Sealed points in a real store: whole or not there, never overwritten, each damage found by its key."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pyrage import x25519

from tasks.clients import points
from tasks.clients.objects import Bucket, location_of
from tasks.clients.point_contents import damages, open_point, open_to
from tasks.clients.sealed_objects import put_sealed
from tasks.errors import Permanent, Refused, Transient

pytestmark = pytest.mark.lab

AT = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
SITE = "us-west-2"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def plan(shared_lab):
    return shared_lab().plan


@pytest.fixture
def asset(plan, request):
    """An asset of this test alone."""
    name = f"configuration/t{abs(hash(request.node.name))}"
    yield name
    bucket = Bucket.owned(plan, SITE)
    for entry in list(bucket.list(f"points/{name}")):
        bucket.delete(entry.key)


def store(plan, asset, at=AT, **contents):
    return points.store(plan, SITE, asset, at, contents or {"a": b"one", "b": b"two"}, {"kind": "test"})


def flip(plan, key, bit=None):
    bucket = Bucket.owned(plan, SITE)
    data = bytearray(bucket.get(key))
    bit = len(data) * 4 if bit is None else bit
    data[bit // 8] ^= 1 << bit % 8
    bucket.put(key, bytes(data))


def test_a_point_is_found_and_opened_again(plan, asset, tmp_path):
    done = store(plan, asset)
    assert points.stored(plan, SITE, asset) == (done,)
    assert done in points.stored(plan, SITE)
    assert open_point(plan, SITE, done, "b") == b"two"
    assert damages(plan, SITE, done, read=True) == ()
    assert points.survey(plan, SITE, asset).unfinished == ()
    open_to(plan, SITE, done, "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refused, match="exists"):
        open_to(plan, SITE, done, "a", tmp_path / "a")


def test_a_large_stream_passes_in_parts(plan, asset, tmp_path):
    piece = os.urandom(MIB)
    done = store(plan, asset, large=(piece for _ in range(40)))
    assert done.size > 40 * MIB
    assert damages(plan, SITE, done, read=True) == ()
    open_to(plan, SITE, done, "large", tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == piece * 40


def test_the_age_program_alone_opens_it(plan, asset):
    done = store(plan, asset)
    sealed = Bucket.readable(plan, SITE).get(done.key("a"))
    key = plan.folder / plan.protection.secrets.recovery_key.removeprefix("file:")
    opened = subprocess.run(["age", "-d", "-i", key], input=sealed, capture_output=True, check=True)
    assert opened.stdout == b"one"


def test_a_point_never_overwrites_another(plan, asset):
    done = store(plan, asset)
    with pytest.raises(Transient, match="exists"):
        store(plan, asset, at=AT + timedelta(milliseconds=300), a=b"else")
    assert damages(plan, SITE, done, read=True) == ()
    assert points.survey(plan, SITE, asset).unfinished == ()


def test_a_point_that_is_being_written_is_not_there_and_not_disturbed(plan, asset):
    def cut_off():
        yield b"begun"
        assert points.stored(plan, SITE, asset) == ()
        with pytest.raises(Transient, match="being written"):
            store(plan, asset)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(plan, asset, a=b"whole", b=cut_off())
    found = points.survey(plan, SITE, asset)
    assert found.points == found.broken == ()
    assert {entry.key.rpartition("/")[2] for entry in found.unfinished} == {"claim", "a.age"}
    assert points.remove_unfinished(plan, SITE, before=datetime.now(UTC) - timedelta(days=1)) == ()
    assert len(points.remove_unfinished(plan, SITE, before=datetime.now(UTC) + timedelta(minutes=1))) == 2
    store(plan, asset)


KILLED = """
import sys, time
from datetime import datetime
from pathlib import Path
from tasks.clients import points
from tasks.plan.load import load_plan

def endless():
    yield b"begun"
    print("stored the first", flush=True)
    time.sleep(60)

plan, asset, at = load_plan(Path(sys.argv[1])), sys.argv[2], datetime.fromisoformat(sys.argv[3])
points.store(plan, "us-west-2", asset, at, {"a": b"whole", "b": endless()}, {})
"""


def test_a_run_killed_between_its_objects_and_its_manifest_leaves_no_point(plan, shared_lab, asset):
    before = store(plan, asset)
    file, later = shared_lab().home.plan_file, AT + timedelta(hours=4)
    argv = [sys.executable, "-c", KILLED, str(file), asset, later.isoformat()]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"stored the first\n"
        process.kill()
    found = points.survey(plan, SITE, asset)
    assert found.points == (before,)
    assert found.broken == ()
    assert {entry.key.rpartition("/")[2] for entry in found.unfinished} == {"claim", "a.age"}
    again = store(plan, asset, at=later + timedelta(seconds=1))
    assert points.stored(plan, SITE, asset) == (before, again)


@pytest.mark.parametrize("name", ["a.age", "b.age", "manifest.json"])
def test_a_flipped_bit_is_found_by_its_key(plan, asset, name):
    done = store(plan, asset)
    flip(plan, f"{done.folder}/{name}")
    assert [key for key, _ in damages(plan, SITE, done, read=True)] == [f"{done.folder}/{name}"]
    found = points.survey(plan, SITE, asset)
    if name == "manifest.json":
        assert found.points == found.unfinished == ()
        assert [key for key, _ in found.broken] == [f"{done.folder}/{name}"]
    else:
        with pytest.raises(Permanent, match="does not open"):
            open_point(plan, SITE, done, name.removesuffix(".age"))


def test_a_lost_and_a_short_object_are_found_by_listing(plan, asset):
    done = store(plan, asset)
    bucket = Bucket.owned(plan, SITE)
    bucket.delete(done.key("a"))
    bucket.put(done.key("b"), bucket.get(done.key("b"))[:-1])
    assert [key for key, _ in damages(plan, SITE, done, read=False)] == [
        done.key("a"),
        done.key("b"),
    ]


def test_a_manifest_at_another_place_is_damage(plan, asset):
    done = store(plan, asset)
    bucket, other = Bucket.owned(plan, SITE), f"points/{asset}/20020202T020202Z/manifest.json"
    bucket.put(other, bucket.get(f"{done.folder}/manifest.json"))
    assert [key for key, _ in points.survey(plan, SITE, asset).broken] == [other]


@pytest.mark.parametrize("content", [b"small", [bytes(MIB)] * 20], ids=["small", "large"])
def test_a_store_that_refuses_or_is_gone_is_told_as_such(plan, content):
    storage, key = plan.sites[SITE].storage, "points/never/20010101T000000Z/a.age"
    reader = location_of(plan, SITE, storage.reader)
    with pytest.raises(Permanent, match="denied"):
        put_sealed(plan, Bucket(reader), key, content)
    with pytest.raises(Transient, match="cannot write"):
        put_sealed(plan, Bucket(replace(reader, endpoint="https://127.0.0.1:9"), 2), key, content)


def test_a_point_that_failed_is_withdrawn(plan, asset):
    def broken():
        yield b"begun"
        raise Transient("the source broke off")

    with pytest.raises(Transient, match="broke off"):
        store(plan, asset, a=b"whole", b=broken())
    assert [entry.key for entry in Bucket.readable(plan, SITE).list(f"points/{asset}")] == []
    assert store(plan, asset).asset == asset


def test_removal_leaves_nothing(plan, asset):
    done, later = store(plan, asset), store(plan, asset, at=AT + timedelta(seconds=1))
    points.remove(plan, SITE, done)
    points.remove(plan, SITE, done)
    assert points.stored(plan, SITE, asset) == (later,)
    assert [e.key for e in Bucket.readable(plan, SITE).list(done.folder)] == []


def test_a_wrong_recovery_key_is_told(plan, asset, tmp_path):
    done = store(plan, asset)
    wrong = tmp_path / "key"
    wrong.write_text(str(x25519.Identity.generate()))
    secrets = plan.protection.secrets.model_copy(update={"recovery_key": f"file:{wrong}"})
    other = plan.model_copy(
        update={"protection": plan.protection.model_copy(update={"secrets": secrets})}, deep=False
    )
    with pytest.raises(Permanent, match="No matching keys"):
        open_point(other, SITE, done, "a")
