"""Two sites with six real nodes each, one with a cluster of them, and a store for its points."""

import json
import os
from contextlib import contextmanager

import pyrage
import redis
from lone_etcd import running_member
from redis_hosts import EAST, PASSWORD, WEST, redis_plan, running_hosts
from seaweed import Authority, running
from waiting import until

from tasks.clients import redis_cluster
from tasks.clients.buckets import ensure_bucket

REDIS_HA = {"mode": "cluster", "down_after": "2 seconds"}


@contextmanager
def running_clusters(folder):
    """Twelve nodes: a cluster at the active site, and six at the other that have not met."""
    address = f"127.{os.getpid() % 90 + 100}.{os.getpid() // 90 % 250 + 1}.251"
    with running(folder / "store", Authority(folder), address, 18933, "redis-east") as store:
        _write_secrets(folder / "secrets", store)
        plan = redis_plan(folder, REDIS_HA, east=6, west=6, stores={EAST: store})
        with running_hosts(plan, folder) as hosts, running_member(plan, folder):
            ensure_bucket(plan, EAST)
            for site in (EAST, WEST):
                for node in plan.sites[site].addresses("redis"):
                    hosts.start(node)
            redis_cluster.create(plan, EAST)
            until(lambda: all(shard.replicas for shard in redis_cluster.whole(plan, EAST).shards), 30)
            until(lambda: linked(hosts), 30)
            yield hosts


def fill(plan):
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


def _write_secrets(folder, store):
    identity = pyrage.x25519.Identity.generate()
    folder.mkdir()
    for name, text in {
        "recovery_recipients": str(identity.to_public()),
        "recovery_key": str(identity),
        "ca.crt": store.ca_certificate.read_text(),
        "owner.json": _pair(store.owner),
        "reader.json": _pair(store.reader),
    }.items():
        (folder / name).write_text(text)


def linked(hosts):
    """Every replica of the active site follows its master."""
    for address in hosts.plan.sites[EAST].addresses("redis"):
        told = hosts.client(address).info("replication")
        if told["role"] == "slave" and told["master_link_status"] != "up":
            return False
    return True


@contextmanager
def connected(address):
    with redis.Redis(host=address, password=PASSWORD, decode_responses=True, socket_timeout=5) as client:
        yield client


def emptied(plan, site):
    with redis_cluster.client(plan, site) as client:
        client.flushall(target_nodes=client.PRIMARIES)


def _pair(pair):
    return json.dumps({"access_key": pair.access_key, "secret_key": pair.secret_key})
