"""A real cluster's points: every shard or none, each damage found, restored into clusters of other shapes."""

import json
import os
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from redis_ground import connected, emptied, fill, running_clusters
from redis_hosts import EAST, PASSWORD, WEST
from waiting import until

from tasks.clients import point_contents, points, redis_cluster, redis_fill, redis_points
from tasks.clients.objects import Bucket
from tasks.errors import Permanent, Refused, Transient
from tasks.redis_backup import (
    restore_redis_cluster,
    restore_redis_point,
    take_redis_backup,
    verify_redis_backup,
)
from tasks.verify_points import verify_points

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with running_clusters(tmp_path_factory.mktemp("redis")) as hosts:
        fill(hosts.plan)
        yield hosts


@pytest.fixture(scope="module")
def plan(hosts):
    return hosts.plan


@pytest.fixture(scope="module")
def point(plan):
    return take_redis_backup.fn(plan)


def test_a_point_names_every_shard_and_where_it_came_from(plan, point):
    shards = redis_cluster.whole(plan, EAST).shards
    assert point.facts["shards"] == "3"
    assert set(point.objects) == {"shard-1.rdb", "shard-2.rdb", "shard-3.rdb", "proof.json"}
    parts = redis_points.parts(plan, EAST, point)
    assert [part.slots for part in parts] == [shard.slots for shard in shards]
    for number, shard in enumerate(shards, 1):
        told = json.loads(point.facts[f"shard-{number}.rdb"])
        assert told["source"] in shard.replicas
        assert told["role"] == "slave"
        assert int(told["offset"]) > 0
    assert verify_redis_backup.fn(plan, point) == int(point.facts["keys"]) >= 9003


def test_it_is_written_to_a_folder_of_files_that_servers_start_from(plan, point, tmp_path):
    into = tmp_path / "redis"
    told = restore_redis_point.fn(plan, EAST, point.stamp, None, into)
    assert f"{point.facts['keys']} keys" in told
    for part in redis_points.parts(plan, EAST, point):
        argv = ["redis-check-rdb", into / part.name]
        checked = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
        assert f"{part.data.keys} keys read" in checked.stdout
    with pytest.raises(Refused, match="exists"):
        restore_redis_point.fn(plan, EAST, point.stamp, None, into)
    assert list(tmp_path.iterdir()) == [into]


@pytest.mark.parametrize("name", ["shard-2.rdb", "proof.json"])
def test_a_flipped_bit_of_any_shard_is_found(plan, point, name):
    with changed(plan, point.key(name), lambda data: data[:-20] + bytes([data[-20] ^ 4]) + data[-19:]):
        with pytest.raises(Permanent, match=name):
            verify_redis_backup.fn(plan, point)
        [found] = verify_points.fn(plan, EAST, ["redis"], Decimal(1))
        assert point.key(name) in [damage.name for damage in found.damages]
    [found] = verify_points.fn(plan, EAST, ["redis"], Decimal(1))
    assert found.damages == ()


def test_a_point_whose_store_lost_a_shard_is_found(plan, point):
    bucket, key = Bucket.owned(plan, EAST), point.key("shard-3.rdb")
    data = bucket.get(key)
    bucket.delete(key)
    try:
        [found] = verify_points.fn(plan, EAST, ["redis"], Decimal(0))
        assert [(damage.name, damage.what) for damage in found.damages] == [(key, "missing")]
    finally:
        bucket.put(key, data)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda parts: parts[:-1], "lacks a shard"),
        (lambda parts: [*parts, parts[0]], "two shards"),
        (lambda parts: [*parts[:-1], parts[-1] | {"name": "shard-9.rdb"}], "lacks a snapshot"),
    ],
    ids=["missing", "twice", "unknown"],
)
def test_a_point_that_was_stored_without_all_its_shards_is_none(plan, point, change, says):
    """Sealed by whoever stored it, so only its contents can tell."""
    with stored_again(plan, point, proof=change) as wrong, pytest.raises(Permanent, match=says):
        verify_redis_backup.fn(plan, wrong)


def test_a_key_in_a_wrong_shard_is_found(plan, point):
    """Two shards' snapshots, each in the other's place, with the other's proof: all that is sealed agrees."""

    def swapped(parts):
        first, second, third = parts
        return [first | {"slots": second["slots"]}, second | {"slots": first["slots"]}, third]

    with stored_again(plan, point, proof=swapped) as wrong, pytest.raises(Permanent, match="another shard"):
        verify_redis_backup.fn(plan, wrong)


def test_a_point_is_restored_into_a_new_cluster_of_another_shape(plan, point, hosts):
    """Every key, value and expiry; slots lie elsewhere; what expired since is not there, and is no damage."""
    with redis_cluster.client(plan, EAST) as old:
        until(lambda: not old.exists("soon:1"), 30)
    told = restore_redis_cluster.fn(plan, EAST, point.stamp, None, WEST)
    shards = redis_cluster.whole(plan, WEST).shards
    with redis_cluster.client(plan, EAST) as old, redis_cluster.client(plan, WEST) as new:
        assert new.dbsize(target_nodes=new.PRIMARIES) > 9000
        for number in range(0, 3000, 100):
            assert new.get(f"text:{number}") == old.get(f"text:{number}")
            assert new.hgetall(f"hash:{number}") == old.hgetall(f"hash:{number}")
            assert new.pexpiretime(f"late:{number}") == old.pexpiretime(f"late:{number}") > 0
        assert new.zscore("sorted", "member:70") == 10
        assert new.lrange("list", 0, -1) == old.lrange("list", 0, -1)
        assert not new.exists("soon:1")
        assert not new.exists("naas-dr:restoring")
    assert f"{point.folder} of {EAST}: 9003 keys live in the cluster of {WEST}" == told
    assert len(shards) == 3

    with pytest.raises(Refused, match="holds"):
        restore_redis_cluster.fn(plan, EAST, point.stamp, None, WEST)
    _resharded(plan, shards)
    emptied(plan, WEST)
    again = restore_redis_cluster.fn(plan, EAST, point.stamp, None, WEST)
    assert again == told
    assert redis_cluster.whole(plan, WEST).masters.keys() != {shard.slots for shard in shards}


def test_what_a_restored_cluster_lacks_or_has_besides_is_found(plan, point):
    """A restore that was cut off goes on; a stranger's write meanwhile is not taken for the point's data."""
    emptied(plan, WEST)
    with redis_cluster.client(plan, WEST) as client:
        client.set("naas-dr:restoring", point.folder)
        client.set("a stranger's", 1)
        with pytest.raises(Permanent, match="holds other data"):
            redis_fill.fill(plan, WEST, EAST, point)
        client.delete("a stranger's")
        assert redis_fill.fill(plan, WEST, EAST, point).keys == 9003
        client.set("naas-dr:restoring", "points/redis/another")
        with pytest.raises(Refused, match="another"):
            redis_fill.fill(plan, WEST, EAST, point)
        client.delete("naas-dr:restoring")


def _resharded(plan, shards):
    """Give a thousand slots of the first shard to the second, as its keepers do: with redis-cli."""
    with connected(shards[0].master) as giver, connected(shards[1].master) as taker:
        ids = [each.execute_command("CLUSTER MYID") for each in (giver, taker)]
    argv = ["redis-cli", "--cluster", "reshard", f"{shards[0].master}:6379", "--cluster-from", ids[0],
            "--cluster-to", ids[1], "--cluster-slots", "1000", "--cluster-yes"]  # fmt: skip
    environment = os.environ | {"REDISCLI_AUTH": PASSWORD}
    subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=120)
    until(lambda: _moved(plan, shards), 30)


def _moved(plan, shards):
    try:
        return redis_cluster.whole(plan, WEST).masters.keys() != {shard.slots for shard in shards}
    except Transient:
        return False


@contextmanager
def changed(plan, key, change):
    bucket = Bucket.owned(plan, EAST)
    data = bucket.get(key)
    bucket.put(key, change(data))
    try:
        yield
    finally:
        bucket.put(key, data)


@contextmanager
def stored_again(plan, point, proof):
    """A point of the same snapshots, sealed as any, whose proof says something else."""
    contents = {
        name: point_contents.open_point(plan, EAST, point, name)
        for name in point.objects
        if name != "proof.json"
    }
    told = json.loads(point_contents.open_point(plan, EAST, point, "proof.json"))
    contents["proof.json"] = json.dumps(proof(told)).encode()
    again = points.store(plan, EAST, "redis", point.at - timedelta(minutes=1), contents, {})
    try:
        yield again
    finally:
        points.remove(plan, EAST, again)
