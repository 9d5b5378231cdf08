"""Redis backups against the lab's servers: from a replica, equal to the source, proven by a load."""

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import redis

from tasks.clients import point_contents, points, redis_points
from tasks.clients.cache import master_of
from tasks.clients.objects import Bucket
from tasks.clients.rdb import snapshot
from tasks.clients.scratch import scratch
from tasks.errors import Permanent, Refused
from tasks.redis_backup import restore_redis_point, take_redis_backup, verify_redis_backup
from tasks.verify_points import verify_points

pytestmark = pytest.mark.lab
SITE = "us-east-1"


@pytest.fixture(scope="module")
def plan(shared_lab):
    return shared_lab().plan


@pytest.fixture(scope="module")
def master(plan):
    """The active site's master, with keys of every kind; some expire soon."""
    client = redis.Redis(host=master_of(plan, SITE), password=plan.secret("redis"))
    pipe = client.pipeline()
    for index in range(200):
        pipe.set(f"t:text{index}", os.urandom(500))
        pipe.hset("t:hash", f"field{index}", index)
        pipe.zadd("t:sorted", {f"member{index}": index / 7})
        pipe.sadd("t:set", f"member{index}")
        pipe.rpush("t:list", index)
        pipe.set(f"t:brief{index}", 1, px=9000)
        pipe.xadd("t:stream", {"n": index})
    pipe.execute()
    yield client
    client.delete(*client.keys("t:*"))
    client.close()


@pytest.fixture(scope="module")
def point(plan, master):
    before = Bucket.owned(plan, SITE)
    done = take_redis_backup.fn(plan)
    yield done
    for entry in list(before.list(done.folder)):
        before.delete(entry.key)


def test_it_comes_from_the_replica_with_its_offset(plan, master, point):
    assert point.facts["role"] == "slave"
    assert point.facts["source"] != master_of(plan, SITE)
    assert point.facts["replid"] == master.info("replication")["master_replid"]
    assert 0 < int(point.facts["offset"]) <= master.info("replication")["master_repl_offset"]
    assert int(point.facts["aof_current_size"]) > 0
    assert int(point.facts["keys"]) >= 405
    assert verify_redis_backup.fn(plan, point) == int(point.facts["keys"])


def test_every_server_gives_the_same_data_and_the_same_digest(plan, master):
    """A snapshot of the master and one of its replica are equal; a single element more is seen."""

    def dataset_of(address):
        with snapshot(plan, address) as taken, scratch(60) as server:
            for piece in taken.pieces:
                server.write(piece)
            return server.loaded()

    addresses = plan.sites[SITE].addresses("redis")
    # The lab's service and the brief keys may write between the two.
    pairs = [tuple(dataset_of(address) for address in addresses) for _ in range(2)]
    assert any(first == second for first, second in pairs)
    master.hset("t:hash", "more", 1)
    more = dataset_of(addresses[0])
    assert more.digest not in {each.digest for pair in pairs for each in pair}


def test_keys_that_expired_since_do_not_look_like_damage(plan, point, master):
    assert all(master.pttl(f"t:brief{index}") < 9000 for index in range(200))
    [part] = redis_points.parts(plan, SITE, point)
    with redis_points.opened(plan, SITE, point, part) as (server, found):
        assert found.keys == int(point.facts["keys"])
        server.promote()
        with server.client() as client:
            assert client.hget("t:hash", "field7") == b"7"


def test_the_restored_file_starts_a_server(plan, point, tmp_path):
    file = tmp_path / "dump.rdb"
    told = restore_redis_point.fn(plan, SITE, point.stamp, None, file)
    assert f"{point.facts['keys']} keys" in told
    assert file.stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(["redis-check-rdb", file], capture_output=True, text=True, check=True)
    assert f"{point.facts['keys']} keys read" in checked.stdout
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(Refused, match="exists"):
        restore_redis_point.fn(plan, SITE, point.stamp, None, file)


def test_by_hand_with_age_and_redis_alone(plan, point, tmp_path):
    sealed = tmp_path / "dump.rdb.age"
    sealed.write_bytes(Bucket.readable(plan, SITE).get(point.key("dump.rdb")))
    key = plan.folder / plan.protection.secrets.recovery_key.removeprefix("file:")
    subprocess.run(["age", "-d", "-i", key, "-o", tmp_path / "dump.rdb", sealed], check=True, timeout=30)
    subprocess.run(["redis-check-rdb", tmp_path / "dump.rdb"], capture_output=True, check=True, timeout=30)


def test_a_point_of_another_moment_is_told_apart(plan, point):
    assert points.pick(plan, SITE, "redis", datetime.now(UTC)).stamp >= point.stamp
    with pytest.raises(Permanent, match="no point of redis at or before"):
        points.pick(plan, SITE, "redis", datetime(1999, 1, 1, tzinfo=UTC))
    with pytest.raises(Refused, match="no time zone"):
        points.pick(plan, SITE, "redis", datetime(1999, 1, 1))  # noqa: DTZ001 -- the mistake


@pytest.mark.parametrize("share", ["0", "1"])
def test_verification_passes_a_whole_point_and_names_each_damage(plan, point, share):
    [good] = verify_points.fn(plan, SITE, ["redis"], Decimal(share))
    assert good.damages == ()
    assert good.bytes >= point.size
    bucket = Bucket.owned(plan, SITE)
    for name in ("dump.rdb.age", "proof.json.age", "manifest.json"):
        key = f"{point.folder}/{name}"
        data = bucket.get(key)
        bucket.put(key, data[:-20] + bytes([data[-20] ^ 4]) + data[-19:])
        [found] = verify_points.fn(plan, SITE, ["redis"], Decimal(share))
        bucket.put(key, data)
        assert key in [damage.name for damage in found.damages]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        lambda data: data[:-8] + bytes(8)[:7] + b"\1",
        lambda _: b"no snapshot at all",
        lambda data: data + b"more",
    ],
    ids=["flipped", "checksum", "foreign", "longer"],
)
def test_a_snapshot_that_is_not_one_does_not_load(plan, point, harm):
    data = point_contents.open_point(plan, SITE, point, "dump.rdb")
    with scratch(30) as server, pytest.raises(Permanent, match="cannot load"):
        server.write(harm(data)) or server.loaded()


def test_nothing_stays_of_a_scratch_server_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with suppress(KeyboardInterrupt), scratch(30) as server:
        assert server.socket.parent.parent == tmp_path
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    no_process = 2**22 + 1
    (tmp_path / f"dr-redis-{no_process}-x").mkdir()
    with scratch(30):
        pass
    assert list(tmp_path.iterdir()) == []
