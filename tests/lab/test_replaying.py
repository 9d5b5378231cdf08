"""What a standby's archive lacks comes from whichever other archive gives it, between SeaweedFS stores."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from bucket_stores import STANZA, contents
from repositories import ARCHIVE, segment

from tasks.clients import standby
from tasks.clients.archive_ahead import look
from tasks.clients.objects import Bucket
from tasks.clients.postgres import Position
from tasks.clients.standby import Standby
from tasks.clients.walnames import SEGMENT_SIZE, Segment
from tasks.errors import Transient
from tasks.policy.replay import way_ahead
from tasks.replaying import Replaying

pytestmark = pytest.mark.lab

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STANDS = Standby(Position("0/1000000", 1, NOON, NOON, 1, in_recovery=True), 1, SEGMENT_SIZE)


@pytest.fixture
def plan(storage_plan, north, south):
    storage_plan.postgresql_ha = SimpleNamespace(cluster_name=STANZA)
    storage_plan.recovery = SimpleNamespace(replay_within=timedelta(seconds=30))
    return storage_plan


@pytest.fixture
def read(monkeypatch):
    """The segments to whose end the standby was asked to read; it always does."""
    asked = []

    def read_archive(_plan, _address, last, *_):
        asked.append(last.number)
        return True

    monkeypatch.setattr(standby, "read_archive", read_archive)
    return asked


def archived(bucket, *numbers):
    for number in numbers:
        bucket.put(segment(number), b"wal")
    for name in ("archive.info", "archive.info.copy"):
        bucket.put(f"{ARCHIVE}/{name}", b"info 1")


def seen(plan, *sites):
    return {site: look(Bucket.readable(plan, site), STANZA, 0) for site in sites}


def work(plan, archives):
    return Replaying(plan, "south", "nowhere", STANDS, archives, time.monotonic() + 30)


def went(plan, archives):
    done = work(plan, archives)
    done.go(way_ahead(STANDS, archives, {}))
    return done


def segments(bucket):
    return sorted(key for key in contents(bucket) if key.endswith(".zst"))


def test_each_segment_comes_from_the_first_archive_that_has_it(plan, north, south, read):
    vault = Bucket.owned(plan, "vault")
    archived(south, 1)
    archived(north, 1, 2, 3)
    archived(vault, 2, 4)
    done = went(plan, seen(plan, "north", "south", "vault"))
    assert (done.sources, done.copied, read) == (["north", "vault"], 3, [4])
    assert segments(south) == [segment(number) for number in (1, 2, 3, 4)]


def test_many_are_read_wave_by_wave(plan, north, south, read):
    archived(north, *range(1, 41))
    assert went(plan, seen(plan, "north", "south")).copied == 40
    assert read == [16, 32, 40]


def test_what_one_archive_loses_meanwhile_another_gives(plan, north, south, read):
    vault = Bucket.owned(plan, "vault")
    archived(north, 1, 2)
    archived(vault, 1, 2)
    archives = seen(plan, "north", "south", "vault")
    north.delete(segment(2))
    done = went(plan, archives)
    assert done.sources == ["vault"]
    assert segments(south) == [segment(1), segment(2)]


def test_what_nobody_gives_any_more_is_named_with_why(plan, north, south, read):
    archived(north, 1)
    archives = seen(plan, "north", "south")
    north.delete(segment(1))
    with pytest.raises(Transient, match=f"{Segment(1, 1).name()} cannot be copied") as told:
        went(plan, archives)
    assert "north: the source changed" in told.value.detail
    assert read == []


def test_without_an_answer_of_the_own_archive_nothing_can_be_replayed(plan, north, read):
    archived(north, 1)
    with pytest.raises(Transient, match="archive of south does not answer"):
        went(plan, seen(plan, "north"))
    assert read == []


def test_a_standby_that_does_not_read_in_time_ends_it(plan, north, south, monkeypatch):
    monkeypatch.setattr(standby, "read_archive", lambda *_: False)
    archived(north, *range(1, 41))
    archives = seen(plan, "north", "south")
    with pytest.raises(Transient, match="30 s were over"):
        went(plan, archives)
    assert len(segments(south)) == 16
