"""What a node keeps on its disk when it is killed, and what it gives up when its memory is full."""

import os
import shutil
import subprocess
import time
from itertools import takewhile

import pytest
import redis
from redis_hosts import EAST, redis_plan, running_hosts
from waiting import until

MIB = 1024 * 1024
REDIS_HA = {
    "mode": "sentinel",
    "memory": {"limit": "16 MiB", "eviction": "volatile-lru"},
    "persistence": {"snapshots": [{"within": "1 second", "changes": 1}]},
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    plan = redis_plan(folder, REDIS_HA, east=1)
    with running_hosts(plan, folder) as hosts:
        yield hosts


@pytest.fixture
def node(hosts):
    """One node that holds nothing, and what starts and kills it."""
    hosts.kill_all()
    [address] = hosts.plan.sites[EAST].addresses("redis")
    shutil.rmtree(hosts.folder / EAST, ignore_errors=True)
    hosts.start(address)
    return Node(hosts, address)


class Node:
    def __init__(self, hosts, address):
        self.hosts, self.address = hosts, address
        self.client = hosts.client(address)

    def killed(self):
        self.hosts.kill(self.address)

    def started(self):
        self.hosts.start(self.address, rendered=False)

    def appended(self):
        """The file of the AOF that grows."""
        [file] = (self.hosts.data(self.address) / "appendonlydir").glob("*.incr.aof")
        return file

    def log(self):
        return (self.hosts.data(self.address).parents[2] / "redis.log").read_text()


def test_after_a_kill_the_aof_has_all_but_its_last_second(node):
    node.client.mset({f"key:{number}": number for number in range(1000)})
    node.client.set("brief", "x", px=3_600_000)
    expiry = node.client.pexpiretime("brief")
    time.sleep(2)  # appendfsync everysec
    node.killed()
    node.started()
    assert node.client.dbsize() == 1001
    assert node.client.mget(f"key:{n}" for n in range(1000)) == [str(n) for n in range(1000)]
    assert node.client.pexpiretime("brief") == expiry


def test_the_rdb_alone_starts_the_node_too(node):
    node.client.set("kept", "in the snapshot")
    saved = node.client.lastsave()
    until(lambda: node.client.lastsave() > saved, 30)
    node.killed()
    file = node.hosts.data(node.address) / "dump.rdb"
    checked = subprocess.run(
        ["redis-check-rdb", file], capture_output=True, text=True, check=True, timeout=30
    )
    assert "1 keys read" in checked.stdout
    for each in (node.hosts.data(node.address) / "appendonlydir").iterdir():
        each.unlink()
    config = node.hosts.data(node.address).parents[2] / "etc/redis/redis.conf"
    # Redis reads the AOF alone where it is on: its manual switches it on again once the snapshot is loaded.
    config.write_text(config.read_text().replace("appendonly yes", "appendonly no"))
    node.started()
    assert node.client.get("kept") == "in the snapshot"
    assert node.client.config_set("appendonly", "yes")


def test_a_log_that_was_cut_off_loads_up_to_there(node):
    node.client.set("first", 1)
    time.sleep(1.5)
    node.client.set("second", 2)
    node.killed()
    size = node.appended().stat().st_size
    os.truncate(node.appended(), size - 5)
    node.started()
    assert (node.client.get("first"), node.client.get("second")) == ("1", None)
    assert "Truncating the AOF" in node.log()


def test_a_log_that_is_damaged_elsewhere_is_never_loaded_in_silence(node):
    for number in range(100):
        node.client.set(f"key:{number}", number)
    node.killed()
    data = bytearray(node.appended().read_bytes())
    place = data.index(b"key:50") - 4  # the length before it
    data[place] ^= 0x40
    node.appended().write_bytes(data)
    with pytest.raises(AssertionError, match="ended: see its log"):
        node.started()
    assert "Bad file format reading the append only file" in node.log()


def test_full_memory_evicts_what_expires_and_nothing_else(node):
    value = os.urandom(1024).hex()
    node.client.mset({f"queue:{number}": value for number in range(1000)})
    for first in range(0, 12_000, 200):
        pipe = node.client.pipeline(transaction=False)
        for number in range(first, first + 200):
            pipe.set(f"cache:{number}", value, ex=3600)
        pipe.execute()
    told = node.client.info()
    assert told["evicted_keys"] > 0
    assert told["used_memory"] <= 17 * MIB
    assert node.client.get("cache:11999") == value
    assert node.client.mget(f"queue:{number}" for number in range(1000)) == [value] * 1000


def test_where_only_what_must_stay_is_left_writes_are_refused_and_nothing_is_lost(node):
    value = os.urandom(8192).hex()
    names = (f"queue:{number}" for number in range(10_000))
    written = len(list(takewhile(lambda name: _taken(node, name, value), names)))
    assert 500 < written < 10_000
    assert node.client.dbsize() == written
    assert node.client.mget(f"queue:{number}" for number in range(written)) == [value] * written
    before = node.client.info("memory")["used_memory"]
    node.client.unlink(*(f"queue:{number}" for number in range(0, written, 2)))
    until(lambda: node.client.info("memory")["used_memory"] < 0.7 * before, 20)
    assert node.client.set("queue:more", value)


def _taken(node, name, value):
    try:
        return node.client.set(name, value)
    except redis.OutOfMemoryError:
        return False


def test_the_build_gives_memory_back_and_has_no_defragmentation_of_its_own(node):
    assert node.client.info("memory")["mem_allocator"].startswith("jemalloc")
    assert node.client.config_get("jemalloc-bg-thread") == {"jemalloc-bg-thread": "yes"}
    with pytest.raises(redis.ResponseError, match="modified Jemalloc"):
        node.client.config_set("activedefrag", "yes")
