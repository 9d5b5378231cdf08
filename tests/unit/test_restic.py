"""What restic is told and what is made of what it says; no server."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.clients import restic, restic_birth, restic_check, restic_command, restic_spot
from tasks.clients.restic_command import Said
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.backups import Point
from tasks.policy.files import choose_snapshot

NOW = datetime(2026, 6, 30, 3, tzinfo=UTC)
ID = "b5c395eb0a9488d2124b2c4fa98593314c2a64b6f41f9fab59cb1486cba4ae2c"


def failure(*lines, code=1):
    error = Permanent("sh failed", f"exit {code}: ")
    return restic_command._failure("us-east-1", "backup", error, Said(lines=list(lines)))


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (
            "Fatal: unable to create lock in backend: repository is already locked by PID 7",
            Transient,
            "locked",
        ),
        ("Save(<lock/1>) failed: client.PutObject: Access Denied.", Permanent, "refuses"),
        ("Fatal: dial tcp 127.1.1.51:8333: connect: connection refused", Transient, "does not answer"),
        ("Fatal: wrong password or no key found", Permanent, "restic backup failed"),
    ],
)
def test_a_failure_is_told_by_what_restic_says(line, kind, words):
    error = failure(line)
    assert type(error) is kind
    assert words in error.message


def test_the_exit_code_leads_the_detail():
    assert failure("Warning: at least one source file could not be read", code=3).detail.startswith("exit 3")


def test_a_refusing_store_is_given_up_at_once_and_a_silent_one_after_some_minutes(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(restic_command.time, "monotonic", lambda: clock[0])
    watch = restic_command._Watch("us-east-1")
    with pytest.raises(Permanent):
        watch.look_at("Save(<data/1>) returned error, retrying after 1s: client.PutObject: Access Denied.")
    line = "Save(<data/1>) returned error, retrying after 1s: connection refused"
    for seconds in (0, 60, 60, 60, 60):
        clock[0] += seconds
        watch.look_at(line)
    clock[0] += 500  # it went well meanwhile
    watch.look_at(line)
    for seconds in (100, 100, 100):
        clock[0] += seconds
        watch.look_at(line)
    clock[0] += 1
    with pytest.raises(Transient):
        watch.look_at(line)


def test_a_snapshot_is_read_whatever_digits_its_time_has():
    facts = {"id": ID, "tags": ["files/uploads", "files=3", "bytes=70"]}
    for time in ("2026-06-30T03:00:00Z", "2026-06-30T03:00:00.0Z", "2026-06-30T03:00:00.000000123Z"):
        found = restic._snapshot({**facts, "time": time})
        assert found == restic.Snapshot(ID, "files/uploads", NOW, 70, 3)
    assert not restic._snapshot({"id": ID, "time": time, "tags": [*facts["tags"], "incomplete"]}).whole
    assert restic._snapshot({"id": ID, "time": time, "tags": None}).asset == ""


def test_what_a_check_says_becomes_keys():
    found = {}
    read = restic_check._reader(found)
    for line in (
        f"pack {ID}: does not exist",
        f"error: error loading index {ID}: load <index/b5c395eb0a>: invalid data returned",
        f"pack {ID}: not referenced in any index",
        "Fatal: unable to open config file: stat: no such file",
    ):
        read(line)
    assert set(found) == {f"restic/data/b5/{ID}", f"restic/index/{ID}", "restic/config"}
    with pytest.raises(restic_check._EnoughError):
        read("check snapshots, trees and blobs")


def test_any_flipped_bit_of_a_birth_is_seen():
    birth = restic_birth.Birth.of({"config": b"\x00\xff config", f"keys/{ID}": b'{"a": 1}'})
    data = birth.written()
    assert restic_birth.read(data) == birth
    assert list(birth.contents()) == [f"restic/keys/{ID}", "restic/config"]
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            assert restic_birth.read(flipped) is None


def seen(size=1, modified="m", changed=10, sha256="a"):
    return restic_spot.Seen(size, modified, changed, sha256)


@pytest.mark.parametrize(
    ("source", "held", "compared", "damaged"),
    [
        (seen(), seen(), 1, False),
        (seen(), seen(sha256="b"), 1, True),
        (seen(modified="later", changed=30), seen(), 0, False),
        (seen(modified="later", changed=10), seen(), 0, True),
        (seen(changed=10), None, 0, True),
        (seen(changed=30), None, 0, False),
    ],
)
def test_a_file_is_damaged_only_if_it_did_not_change(source, held, compared, damaged):
    spots = restic_spot.judge({"name": source}, {"name": held} if held else {}, taken=20)
    assert (spots.files, bool(spots.damages)) == (compared, damaged)


def test_the_newest_good_snapshot_that_fits_is_chosen():
    def point(name, days, site="a", good=True):
        return Point("files/uploads", site, name, "snapshot", NOW - timedelta(days=days), good=good)

    old, new, copy, bad = point("aa1", 2), point("bb2", 1), point("bb2", 1, "b"), point("cc3", 0, good=False)
    points = [old, new, copy, bad]
    assert choose_snapshot(points) is new
    assert choose_snapshot(points, at=NOW - timedelta(days=1.5)) is old
    assert choose_snapshot(points, name="cc") is bad
    assert choose_snapshot(points, at=NOW - timedelta(days=3)) is None
    assert choose_snapshot([]) is None
    assert choose_snapshot(points, name="bb").name == "bb2", "two copies of one snapshot"
    with pytest.raises(Refused, match="several"):
        choose_snapshot([*points, point("bb3", 5)], name="bb")
