"""What a manifest says: canonical, of its own place, and any flipped bit is seen; the share that is read."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tasks.clients.manifest import StoredPoint, manifest_of, moment_of, point_of, stamp_of
from tasks.clients.redis_source import Source, plausible
from tasks.errors import Permanent
from tasks.policy.sampling import sample

AT = datetime(2026, 6, 30, 12, tzinfo=UTC)
POINT = StoredPoint(
    "secrets/plan", "20260630T120000Z", AT, 12, {"a": (5, "0" * 64), "b": (7, "f" * 64)}, {"files": "2"}
)


def test_a_manifest_is_read_as_it_was_written():
    assert point_of(manifest_of(POINT), POINT.asset, POINT.stamp) == POINT


def test_any_flipped_bit_of_a_manifest_is_seen():
    data = manifest_of(POINT)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="manifest"):
            point_of(bytes(flipped), POINT.asset, POINT.stamp)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", manifest_of(POINT)[:-1], manifest_of(POINT) * 2]
)
def test_what_is_no_manifest_is_seen(data):
    with pytest.raises(ValueError, match="manifest"):
        point_of(data, POINT.asset, POINT.stamp)


def test_a_manifest_speaks_for_its_own_place_only():
    with pytest.raises(ValueError, match="another place"):
        point_of(manifest_of(POINT), "secrets/other", POINT.stamp)
    with pytest.raises(ValueError, match="another place"):
        point_of(manifest_of(POINT), POINT.asset, "20260630T120001Z")
    moved = replace(POINT, at=AT + timedelta(days=1))
    with pytest.raises(ValueError, match="another place"):
        point_of(manifest_of(moved), POINT.asset, POINT.stamp)


def test_the_digest_can_be_computed_by_hand():
    document = json.loads(manifest_of(POINT))
    digest = document.pop("digest")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    told = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True, timeout=10)
    assert told.stdout.decode().split()[0] == digest


def test_a_stamp_is_the_moment_in_utc():
    assert stamp_of(AT.astimezone(timezone(timedelta(hours=5)))) == "20260630T120000Z"
    assert moment_of("20260630T120000Z") == AT


def test_a_point_names_its_keys():
    assert POINT.key("a") == "points/secrets/plan/20260630T120000Z/a.age"
    with pytest.raises(Permanent, match="holds no c"):
        POINT.key("c")


def test_a_share_is_the_same_for_the_same_day_and_reaches_everything_in_time():
    names = [f"n{index}" for index in range(30)]
    assert sample(names, Decimal("0.1"), "monday") == sample(reversed(names), Decimal("0.1"), "monday")
    assert len(sample(names, Decimal("0.1"), "monday")) == 3
    assert len(sample(names, Decimal("0.01"), "monday")) == 1
    assert sample(names, Decimal(0), "monday") == frozenset()
    assert sample(names, Decimal(1), "monday") == frozenset(names)
    assert frozenset().union(*(sample(names, Decimal("0.1"), f"day {day}") for day in range(200))) == set(
        names
    )


def source(keys, offset, counted=True):
    return Source("127.0.0.1", "slave", keys, offset, counted, 0, {})


@pytest.mark.parametrize(
    ("before", "after", "keys", "fits"),
    [
        (source(5, 100), source(5, 100), 5, True),
        (source(5, 100), source(5, 100), 4, False),
        (source(5, 100), source(5, 107), 4, True),
        (source(5, 100), source(9, 140), 14, True),
        (source(5, 100), source(9, 140), 15, False),
        (source(5, 0, counted=False), source(5, 0, counted=False), 1, True),
    ],
)
def test_a_snapshot_has_as_many_keys_as_its_source(before, after, keys, fits):
    assert plausible(before, after, keys) is fits
