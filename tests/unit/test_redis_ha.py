"""What the plan says of Redis is what its servers are told, and hash slots are counted right."""

from pathlib import Path

import pytest
import yaml

from infra.render import host_files
from tasks.clients import hash_slots
from tasks.plan.load import load_plan
from tasks.policy.expected import expected

SHIPPED = Path(__file__).parents[2] / "deployments" / "plan.yaml"
EAST = "us-east-1"


def clustered(tmp_path, hosts=6, **redis_ha):
    """The shipped plan with a Redis cluster at both sites that can take over, and no Sentinel."""
    data = yaml.safe_load(SHIPPED.read_text())
    data["redis_ha"] = {"mode": "cluster", **redis_ha}
    for number, name in enumerate((EAST, "us-west-2")):
        site = data["sites"][name]
        for host in site["hosts"].values():
            host["runs"] = [each for each in host["runs"] if each not in {"redis", "sentinel"}]
        site["hosts"] = {name: host for name, host in site["hosts"].items() if host["runs"]}
        zone = next(iter(site["hosts"].values()))["zone"]
        for last in range(hosts):
            host = {"address": f"10.9.{number}.{last + 1}", "zone": zone, "runs": ["redis"]}
            site["hosts"][f"redis-{number}-{last}"] = host
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(data))
    return load_plan(tmp_path / "plan.yaml")


def configured(plan, host):
    text = host_files(plan, EAST, host, active=EAST, secrets=False)["etc/redis/redis.conf"].text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def test_the_shipped_plan_evicts_only_what_expires_and_keeps_both_kinds_on_disk():
    told = configured(load_plan(SHIPPED), "redis-east-1")
    assert (told["maxmemory"], told["maxmemory-policy"]) == (str(256 * 1024 * 1024), "volatile-lru")
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")
    assert told["save"] == "900 1 300 10 60 10000"
    assert not any(name.startswith("cluster-") for name in told)


def test_a_cluster_is_told_its_timings_and_follows_nobody(tmp_path):
    plan = clustered(tmp_path, down_after="3 seconds", cluster={"full_coverage": False})
    told = configured(plan, "redis-0-5")
    assert told["cluster-enabled"] == "yes"
    assert told["cluster-node-timeout"] == "3000"
    assert told["cluster-require-full-coverage"] == "no"
    assert told["cluster-announce-ip"] == told["bind-source-addr"] == "10.9.0.6"
    assert "replicaof" not in told
    wanted = {each.host: each.settings for each in expected(plan, EAST) if each.program == "redis"}
    for path, value in wanted["redis-0-5"].items():
        assert told[path[1]] == value


@pytest.mark.parametrize(
    "memory",
    [
        {"limit": "1 GiB", "eviction": "allkeys-lru", "cache_only": True},
        {"limit": None, "eviction": "noeviction"},
        {"limit": "64 MiB", "eviction": "noeviction"},
    ],
)
def test_memory_that_is_safe_is_accepted(tmp_path, memory):
    told = configured(clustered(tmp_path, memory=memory), "redis-0-0")
    assert told["maxmemory-policy"] == memory["eviction"]
    limit = {"1 GiB": 1024**3, "64 MiB": 64 * 1024**2, None: 0}[memory["limit"]]
    assert told["maxmemory"] == str(limit)


def test_every_write_may_be_made_durable(tmp_path):
    plan = clustered(tmp_path, persistence={"append": "every write"})
    assert configured(plan, "redis-0-0")["appendfsync"] == "always"


def test_the_plan_is_shown_as_it_is_written(tmp_path):
    shown = clustered(tmp_path).model_dump(mode="json")["redis_ha"]
    assert shown["memory"]["limit"] == "256 MiB"
    assert shown["down_after"] == "5 seconds"


SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


def test_slots_are_written_and_read_alike():
    slots = ((0, 5), (7, 7), (9, 16383))
    assert hash_slots.written(slots) == "0-5, 7, 9-16383"
    assert hash_slots.parsed(hash_slots.written(slots)) == slots
    assert hash_slots.parsed("") == ()


def test_slots_that_nobody_has_or_two_have_are_named():
    whole = [(each,) for each in SLOTS]
    assert hash_slots.missing(whole) == hash_slots.repeated(whole) == ()
    assert hash_slots.missing(whole[:1] + whole[2:]) == ((5461, 10922),)
    assert hash_slots.missing([]) == ((0, 16383),)
    assert hash_slots.repeated([*whole, ((3, 4), (16383, 16383))]) == ((3, 4), (16383, 16383))


def test_a_key_is_at_home_in_its_slot_and_a_tag_decides():
    # CLUSTER KEYSLOT foo, and of what is in braces.
    assert hash_slots.is_at_home(b"foo", ((12182, 12182),))
    assert hash_slots.is_at_home(b"bar{foo}1", ((12182, 12182),))
    assert not hash_slots.is_at_home(b"foo", ((0, 12181), (12183, 16383)))
