"""Sentinel fails over as the plan says: the rendered files, three real nodes and three real Sentinels."""

import time

import pytest
import redis
from redis.sentinel import Sentinel
from redis_hosts import EAST, PASSWORD, redis_plan, running_hosts
from waiting import until

from tasks.clients import cache
from tasks.clients.layout import REDIS_MASTER

pytestmark = pytest.mark.long
REDIS_HA = {"mode": "sentinel", "down_after": "3 seconds"}


@pytest.fixture
def hosts(tmp_path):
    plan = redis_plan(tmp_path, REDIS_HA, east=3)
    with running_hosts(plan, tmp_path) as hosts:
        addresses = plan.sites[EAST].addresses("redis")
        for program in ("redis", "sentinel"):
            for address in addresses:
                hosts.start(address, program)
        until(lambda: hosts.client(addresses[0]).info("replication")["connected_slaves"] == 2, 20)
        yield hosts


def sentinels(hosts):
    addresses = [(each, 26379) for each in hosts.plan.sites[EAST].addresses("sentinel")]
    return Sentinel(addresses, password=PASSWORD, socket_timeout=1, decode_responses=True)


def agreed(hosts):
    """Every Sentinel knows the other two and both replicas."""
    told = [redis.Redis(host=each, port=26379, decode_responses=True).sentinel_master(REDIS_MASTER)
            for each in hosts.plan.sites[EAST].addresses("sentinel")]  # fmt: skip
    return all(each["num-other-sentinels"] == 2 and each["num-slaves"] == 2 for each in told)


def written(master, key):
    try:
        return master.set(key, "after")
    except (redis.RedisError, OSError):
        return False


def test_a_killed_master_is_replaced_in_time_and_returns_as_a_replica(hosts):
    plan, asked = hosts.plan, sentinels(hosts)
    until(lambda: agreed(hosts), 30)
    old = cache.master_of(plan, EAST)
    with hosts.client(old) as master:
        master.mset({f"order:{number}": number for number in range(500)})
        assert master.wait(2, 5000) == 2
    hosts.kill(old)
    killed = time.monotonic()
    client = asked.master_for(REDIS_MASTER)
    until(lambda: written(client, "order:later"), 60, pause=0.05)
    took = time.monotonic() - killed
    print(f"a write {took:.1f} s after the kill")  # noqa: T201 - evidence, shown with -s or on failure
    assert took < plan.high_availability.failover.failover_time.total_seconds()
    assert cache.master_of(plan, EAST) != old
    assert client.mget(f"order:{number}" for number in range(500)) == [str(n) for n in range(500)]

    hosts.start(old, rendered=False)
    until(lambda: _follows(hosts, old, cache.master_of(plan, EAST)), 60)
    assert hosts.client(old).get("order:later") == "after"


def test_a_master_that_answers_stays(hosts):
    until(lambda: agreed(hosts), 30)
    old = cache.master_of(hosts.plan, EAST)
    time.sleep(2 * hosts.plan.redis_ha.down_after.total_seconds())
    assert {sentinel.sentinel_master(REDIS_MASTER)["ip"] for sentinel in sentinels(hosts).sentinels} == {old}


def _follows(hosts, address, master):
    told = hosts.client(address).info("replication")
    return (told.get("master_host"), told.get("master_link_status")) == (master, "up")
