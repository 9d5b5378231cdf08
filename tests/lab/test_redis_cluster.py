"""A real cluster of six nodes from the rendered files: failed over, backed up, restored elsewhere."""

import asyncio
import json
import os
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pyrage
import pytest
import redis
from lone_etcd import running_member
from redis_hosts import EAST, PASSWORD, WEST, redis_plan, running_hosts
from seaweed import Authority, running
from waiting import until

from infra.service.cache import OrderCache
from infra.service.config import Redis
from infra.service.orders import Order
from tasks.clients import point_contents, points, redis_cluster, redis_fill, redis_points, redis_site
from tasks.clients.buckets import ensure_bucket
from tasks.clients.objects import Bucket
from tasks.errors import Permanent, Refused, Transient
from tasks.redis_backup import (
    restore_redis_cluster,
    restore_redis_point,
    take_redis_backup,
    verify_redis_backup,
)
from tasks.verify_points import verify_points

REDIS_HA = {"mode": "cluster", "down_after": "2 seconds"}
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    address = f"127.{os.getpid() % 90 + 100}.{os.getpid() // 90 % 250 + 1}.251"
    with running(folder / "east", Authority(folder), address, 18933, "redis-east") as store:
        yield store


@pytest.fixture(scope="module")
def hosts(tmp_path_factory, store):
    """Twelve nodes: a cluster at the active site, and six at the other that have not met."""
    folder = tmp_path_factory.mktemp("redis")
    identity = pyrage.x25519.Identity.generate()
    (folder / "secrets").mkdir()
    for name, text in {
        "recovery_recipients": str(identity.to_public()),
        "recovery_key": str(identity),
        "ca.crt": store.ca_certificate.read_text(),
        "owner.json": _pair(store.owner),
        "reader.json": _pair(store.reader),
    }.items():
        (folder / "secrets" / name).write_text(text)
    plan = redis_plan(folder, REDIS_HA, east=6, west=6, stores={EAST: store})
    with running_hosts(plan, folder) as hosts, running_member(plan, folder):
        ensure_bucket(plan, EAST)
        for site in (EAST, WEST):
            for address in plan.sites[site].addresses("redis"):
                hosts.start(address)
        redis_cluster.create(plan, EAST)
        until(lambda: all(shard.replicas for shard in redis_cluster.whole(plan, EAST).shards), 30)
        until(lambda: _linked(hosts), 30)
        yield hosts


@pytest.fixture(scope="module")
def plan(hosts):
    return hosts.plan


@pytest.fixture(scope="module")
def filled(plan):
    """Keys of every kind; some expire late, some soon."""
    with redis_cluster.client(plan, EAST) as client:
        for first in range(0, 3000, 500):
            pipe = client.pipeline()
            for number in range(first, first + 500):
                pipe.set(f"text:{number}", os.urandom(50))
                pipe.set(f"late:{number}", number, ex=3600 + number)
                pipe.hset(f"hash:{number}", mapping={"a": number, "b": os.urandom(20)})
            pipe.execute()
        client.zadd("sorted", {f"member:{number}": number / 7 for number in range(300)})
        client.rpush("list", *range(300))
        client.xadd("stream", {"n": 1})
        for number in range(50):
            client.set(f"soon:{number}", number, px=4000)


@pytest.fixture(scope="module")
def point(plan, filled):
    return take_redis_backup.fn(plan)


def test_a_site_with_too_few_slots_served_is_not_backed_up(plan):
    """The other site's nodes have not met: nobody has any slot."""
    with pytest.raises(Transient, match="not whole") as refused:
        redis_points.take(plan, WEST, lambda *_: None)
    assert "0-16383" in str(refused.value)


def test_masters_and_their_replicas_are_in_different_zones(plan):
    zones = {str(host.address): host.zone for host in plan.sites[EAST].hosts.values()}
    shards = redis_cluster.whole(plan, EAST).shards
    assert len({zones[shard.master] for shard in shards}) == 3
    assert all(zones[shard.master] != zones[replica] for shard in shards for replica in shard.replicas)


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


def test_slots_that_are_being_moved_hold_the_backup_up(plan, point):
    first, second, *_ = redis_cluster.whole(plan, EAST).shards
    slot = first.slots[0][0]
    with connected(first.master) as giver, connected(second.master) as taker:
        giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", taker.execute_command("CLUSTER MYID"))
        try:
            with pytest.raises(Transient, match="being moved"):
                take_redis_backup.fn(plan)
        finally:
            giver.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert redis_cluster.whole(plan, EAST).wrong == ""


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
    _emptied(plan)
    again = restore_redis_cluster.fn(plan, EAST, point.stamp, None, WEST)
    assert again == told
    assert redis_cluster.whole(plan, WEST).masters.keys() != {shard.slots for shard in shards}


def test_what_a_restored_cluster_lacks_or_has_besides_is_found(plan, point):
    """A restore that was cut off goes on; a stranger's write meanwhile is not taken for the point's data."""
    _emptied(plan)
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


def test_a_shard_is_handed_to_its_replica_and_no_write_is_lost(plan, point):
    shard = redis_cluster.whole(plan, EAST).shards[1]
    with pytest.raises(Refused, match="no replica"):
        redis_cluster.fail_over(plan, EAST, shard.master)
    after = redis_cluster.fail_over(plan, EAST, shard.replicas[0])
    assert after.masters[shard.slots] == shard.replicas[0]
    with redis_cluster.client(plan, EAST) as client:
        assert all(client.exists(f"text:{number}") for number in range(0, 3000, 50))


def test_a_killed_master_is_replaced_and_the_next_point_is_whole(plan, point, hosts):
    shard = redis_cluster.whole(plan, EAST).shards[0]
    until(lambda: _linked(hosts), 60)
    with redis_cluster.client(plan, EAST) as client:
        for number in range(100):
            client.set(f"before:{number}", number)
    with connected(shard.master) as master:
        assert master.wait(1, 5000) == 1
    hosts.kill(shard.master)
    with pytest.raises(Transient):
        redis_points.take(plan, EAST, lambda *_: None)
    taken_over = until(lambda: _whole_without(plan, shard.master), 60)
    assert taken_over.masters[shard.slots] in shard.replicas
    with redis_cluster.client(plan, EAST) as client:
        assert [client.get(f"before:{number}") for number in range(100)] == [b"%d" % n for n in range(100)]
        assert all(client.set(f"after:{number}", number) for number in range(100))
    later = take_redis_backup.fn(plan)
    assert verify_redis_backup.fn(plan, later) == 9003 + 200
    told = json.loads(later.facts["shard-1.rdb"])
    assert (told["role"], told["source"]) == ("master", taken_over.masters[shard.slots])

    hosts.start(shard.master, rendered=False)
    back = until(lambda: _follows_again(plan, shard), 60)
    assert shard.master in back.replicas


def test_a_cluster_that_holds_nothing_takes_over_with_its_newest_point(plan, point):
    """What it holds of its own stays."""
    newest = points.stored(plan, EAST, "redis")[-1]
    with redis_cluster.client(plan, EAST) as client:
        client.set("its own", 1)
        assert redis_site.take_over(plan, EAST) in redis_cluster.whole(plan, EAST).masters.values()
        assert redis_site.get(plan, EAST, "its own") == "1"
        client.flushall(target_nodes=client.PRIMARIES)
    redis_site.take_over(plan, EAST)
    assert redis_fill.held(plan, EAST) == sum(
        part.data.keys for part in redis_points.parts(plan, EAST, newest)
    )
    assert redis_site.get(plan, EAST, "its own") is None
    assert redis_site.get(plan, EAST, "late:7") == "7"


def test_the_service_keeps_orders_in_the_cluster(plan, point, tmp_path):
    site = plan.sites[EAST]
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    told = Redis(nodes=site.addresses("redis"), sentinel_port=26379, master_name="", password_file=file)
    now = datetime.now(UTC)
    orders = [Order(id=uuid4(), item=f"item {n}", quantity=1, created_at=now) for n in range(20)]

    async def kept():
        cache = OrderCache(told)
        await cache.check()
        for order in orders:
            await cache.put(order)
        found = [await cache.get(order.id) for order in orders]
        await cache.close()
        return found

    assert asyncio.run(kept()) == orders


def test_a_cluster_that_lost_a_whole_shard_is_not_backed_up(plan, hosts):
    """The last one, for this cluster is not whole again."""
    assert redis_site.require_serving(plan, EAST) == "Redis cluster of 3 shards"
    lost = redis_cluster.ensure(plan, WEST).shards[0]
    for address in (lost.master, *lost.replicas):
        hosts.kill(address)
    told = until(lambda: _refusal(plan), 60)
    with pytest.raises(Transient):
        redis_site.require_serving(plan, WEST)
    assert "not whole" in told or "does not answer" in told
    assert points.stored(plan, EAST, "redis")[-1].facts["shards"] == "3"


def _refusal(plan):
    try:
        redis_points.take(plan, WEST, lambda *_: None)
    except Transient as error:
        return str(error)
    return ""


def _whole_without(plan, address):
    try:
        found = redis_cluster.whole(plan, EAST)
    except Transient:
        return None
    return found if address not in found.masters.values() else None


def _follows_again(plan, shard):
    try:
        found = redis_cluster.whole(plan, EAST)
    except Transient:
        return None
    return next((each for each in found.shards if each.slots == shard.slots and each.replicas), None)


def _linked(hosts):
    """Every replica of the active site follows its master."""
    for address in hosts.plan.sites[EAST].addresses("redis"):
        told = hosts.client(address).info("replication")
        if told["role"] == "slave" and told["master_link_status"] != "up":
            return False
    return True


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


def _emptied(plan):
    with redis_cluster.client(plan, WEST) as client:
        client.flushall(target_nodes=client.PRIMARIES)


@contextmanager
def connected(address):
    with redis.Redis(host=address, password=PASSWORD, decode_responses=True, socket_timeout=5) as client:
        yield client


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


def _pair(pair):
    return json.dumps({"access_key": pair.access_key, "secret_key": pair.secret_key})
