"""What the servers should run with follows the plan, and every way in which they do not is found by name."""

import configparser
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infra import render
from infra.render import endpoint_config, host_files
from tasks.clients import running_configuration
from tasks.clients.layout import REDIS_MASTER
from tasks.clients.masking import MASK, masked, without_secrets
from tasks.clients.running_configuration import EDGE, Running
from tasks.facts.drift import OneOf
from tasks.plan.load import load_plan
from tasks.policy.drift import judge_drift, judge_files
from tasks.policy.expected import expected

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
EAST, WEST = "us-east-1", "us-west-2"


def texts(site, host, active):
    files = host_files(PLAN, site, host, active=active, secrets=False)
    return {path: rendered.text for path, rendered in files.items()}


def postgres(files):
    node = yaml.safe_load(files["etc/patroni/10-patroni.yml"])
    dynamic, own = node["bootstrap"]["dcs"], node["postgresql"]
    parameters = dynamic["postgresql"]["parameters"] | own["parameters"] | own["recovery_conf"]
    parameters["archive_timeout"] = parameters["archive_timeout"].removesuffix("s")
    return {"dynamic": dynamic, "parameters": parameters}


def redis(files):
    config = dict(line.split(" ", 1) for line in lines(files["etc/redis/redis.conf"]))
    host, _, _ = config.get("replicaof", "").partition(" ")
    return {"config": config, "role": "slave" if host else "master", "master_host": host}


def sentinel(files):
    words = [line.split() for line in lines(files["etc/redis/sentinel.conf"])]
    told = {line[1]: line[3:] for line in words if REDIS_MASTER in line}
    if not told:
        return {}
    address, _, quorum = told.pop("monitor")
    settings = {name: value[0] for name, value in told.items()}
    return {REDIS_MASTER: {"ip": address, "quorum": quorum, **settings}}


def pgbouncer(files):
    ini = configparser.ConfigParser()
    ini.read_string(files["etc/pgbouncer/pgbouncer.ini"])
    served = {name: dict(re.findall(r"(\w+)=(\S+)", text)) for name, text in ini["databases"].items()}
    return {"config": dict(ini["pgbouncer"]), "databases": served}


def etcd(files):
    members = yaml.safe_load(files["etc/etcd/etcd.yml"])["initial-cluster"].split(",")
    pairs = (member.split("=") for member in members)
    return {"members": {name: [url.replace("2380", "2379")] for name, url in pairs}}


def gateway(files):
    return haproxy(files["etc/haproxy/haproxy.cfg"])


# A rendered file in the shape in which the running server tells its settings.
PARSED = {
    "postgres": postgres, "redis": redis, "sentinel": sentinel, "pgbouncer": pgbouncer, "etcd": etcd,
    "gateway": gateway,
}  # fmt: skip


def haproxy(text):
    backends = {}
    for line in lines(text):
        words = line.split()
        if words[0] in {"backend", "listen", "frontend"}:
            current = backends.setdefault(words[1], {"servers": {}})
        elif words[0] == "balance":
            current["algorithm"] = words[1].partition("(")[0]
        elif words[0] == "server":
            current["servers"][words[1]] = {"address": words[2], "out": "disabled" in words}
    return {"backends": backends}


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def as_rendered(active):
    """Every server as it would run with just what is rendered."""
    for each in expected(PLAN, active):
        if each.site == EDGE:
            yield Running(EDGE, "endpoint", "haproxy", haproxy(endpoint_config(PLAN, active)))
            continue
        settings = PARSED[each.program](texts(each.site, each.host, active))
        if each.program == "postgres":
            first = next(iter(PLAN.sites[each.site].running("postgres"))) == each.host
            role = ("primary" if each.site == active else "standby_leader") if first else "replica"
            settings["role"] = role
        yield Running(each.site, each.host, each.program, settings)


@pytest.fixture
def healthy():
    return list(as_rendered(EAST))


def changed(running, program, site, path, value):
    """The servers with one setting of the first such program changed."""
    found = next(each for each in running if (each.program, each.site) == (program, site))
    return [
        replace(each, settings=put(each.settings, path, value)) if each is found else each for each in running
    ]


def put(settings, path, value):
    name, *rest = path
    inner = put(settings.get(name) or {}, rest, value) if rest else value
    kept = {key: each for key, each in settings.items() if key != name}
    return kept if inner is None else kept | {name: inner}


def red(found):
    return {each.name for each in found if each.red}


def test_what_is_rendered_is_what_is_expected(healthy):
    [finding] = judge_drift(expected(PLAN, EAST), healthy)
    assert finding.severity == "ok"


def test_every_kind_of_setting_is_in_the_rendered_files(healthy):
    """The other way round: an expectation that no file fulfils would be drift for ever."""
    shown = {(each.program, each.site, each.host): each.settings for each in healthy}
    for each in expected(PLAN, EAST):
        for path, value in each.settings.items():
            actual = shown[each.program, each.site, each.host]
            for name in path:
                actual = actual.get(name) if actual else None
            good = value.values if isinstance(value, OneOf) else (str(value),)
            assert str(actual) in good, (each.host, path)


def test_the_files_that_are_captured_are_those_that_are_rendered():
    rendered = {program: set(files) for program, files in render._PLAIN.items()}
    rendered["service"] = {"etc/service/service.json"}
    assert {program: set(files) for program, files in running_configuration.FILES.items()} == rendered


PLANTED = {
    f"patroni {EAST}: ttl": ("postgres", EAST, ("dynamic", "ttl"), 30),
    f"patroni {EAST}: loop_wait": ("postgres", EAST, ("dynamic", "loop_wait"), 10),
    f"patroni {WEST}: retry_timeout": ("postgres", WEST, ("dynamic", "retry_timeout"), 10),
    f"patroni {EAST}: failsafe_mode": ("postgres", EAST, ("dynamic", "failsafe_mode"), True),
    f"patroni {EAST}: synchronous_mode": ("postgres", EAST, ("dynamic", "synchronous_mode"), False),
    f"patroni {EAST}: slots.us_west_2.type": ("postgres", EAST, ("dynamic", "slots"), None),
    f"patroni {EAST}: standby_cluster": (
        "postgres", EAST, ("dynamic", "standby_cluster"), {"host": "10.0.0.1"},
    ),
    f"patroni {WEST}: standby_cluster.host": ("postgres", WEST, ("dynamic", "standby_cluster"), None),
    f"patroni {WEST}: standby_cluster.restore_command": (
        "postgres", WEST, ("dynamic", "standby_cluster", "restore_command"), "cp /elsewhere/%f %p",
    ),
    f"postgres {EAST}/postgres-primary: parameters.archive_command": (
        "postgres", EAST, ("parameters", "archive_command"), "/bin/true",
    ),
    f"postgres {EAST}/postgres-primary: parameters.archive_mode": (
        "postgres", EAST, ("parameters", "archive_mode"), "off",
    ),
    f"postgres {EAST}/postgres-primary: parameters.archive_timeout": (
        "postgres", EAST, ("parameters", "archive_timeout"), "0",
    ),
    f"postgres {WEST}/postgres-dr-1: parameters.restore_command": (
        "postgres", WEST, ("parameters", "restore_command"), "",
    ),
    f"postgres {WEST}/postgres-dr-1: role": ("postgres", WEST, ("role",), "primary"),
    f"postgres {EAST}: primary": ("postgres", EAST, ("role",), "replica"),
    f"redis {EAST}/redis-east-1: config.appendonly": ("redis", EAST, ("config", "appendonly"), "no"),
    f"redis {EAST}/redis-east-1: config.save": ("redis", EAST, ("config", "save"), ""),
    f"redis {EAST}/redis-east-1: config.maxmemory": ("redis", EAST, ("config", "maxmemory"), "0"),
    f"redis {EAST}/redis-east-1: config.maxmemory-policy": (
        "redis", EAST, ("config", "maxmemory-policy"), "noeviction",
    ),
    f"redis {WEST}/redis-west-1: config.replica-priority": (
        "redis", WEST, ("config", "replica-priority"), "100",
    ),
    f"redis {WEST}/redis-west-1: role": ("redis", WEST, ("role",), "master"),
    f"redis {WEST}/redis-west-1: master_host": ("redis", WEST, ("master_host",), "10.0.0.1"),
    f"redis {EAST}: master": ("redis", EAST, ("role",), "slave"),
    f"sentinel {EAST}/redis-east-1: naas-redis.quorum": ("sentinel", EAST, (REDIS_MASTER, "quorum"), 1),
    f"sentinel {EAST}/redis-east-1: naas-redis.down-after-milliseconds": (
        "sentinel", EAST, (REDIS_MASTER, "down-after-milliseconds"), 30000,
    ),
    f"sentinel {WEST}/redis-west-1: naas-redis": ("sentinel", WEST, (REDIS_MASTER, "ip"), "10.0.0.1"),
    f"pgbouncer {EAST}/gateway-east: config.pool_mode": (
        "pgbouncer", EAST, ("config", "pool_mode"), "session",
    ),
    f"pgbouncer {EAST}/gateway-east: config.default_pool_size": (
        "pgbouncer", EAST, ("config", "default_pool_size"), "5",
    ),
    f"pgbouncer {WEST}/gateway-west: databases.naas.host": (
        "pgbouncer", WEST, ("databases", "naas", "host"), "10.0.0.1",
    ),
    f"gateway {EAST}/gateway-east: backends.instances.algorithm": (
        "gateway", EAST, ("backends", "instances", "algorithm"), "roundrobin",
    ),
    f"gateway {EAST}/gateway-east: backends.instances.servers.app-east-1.out": (
        "gateway", EAST, ("backends", "instances", "servers", "app-east-1", "out"), True,
    ),
    f"haproxy {EDGE}/endpoint: backends.sites.algorithm": (
        "haproxy", EDGE, ("backends", "sites", "algorithm"), "leastconn",
    ),
    f"haproxy {EDGE}/endpoint: backends.sites.servers.{WEST}.out": (
        "haproxy", EDGE, ("backends", "sites", "servers", WEST, "out"), False,
    ),
    f"etcd {EAST}/etcd-east: members.etcd-west": ("etcd", EAST, ("members", "etcd-west"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_drift_is_found_by_name_and_alone(healthy, name):
    found = judge_drift(expected(PLAN, EAST), changed(healthy, *PLANTED[name]))
    assert red(found) == {name}


def test_the_finding_tells_both_sides(healthy):
    planted = changed(healthy, "postgres", EAST, ("dynamic", "ttl"), 30)
    [finding] = judge_drift(expected(PLAN, EAST), planted)
    assert finding.detail == "20 in the plan, 30 on the server"


def test_after_a_fail_over_the_roles_are_the_other_way_round():
    """As the recovery leaves them: Patroni follows the new site, Redis too, its Sentinels watch there."""
    running = list(as_rendered(WEST))
    follows = {"host": ",".join(PLAN.sites[WEST].addresses("postgres")), "port": 5432}
    standby = {WEST: None, EAST: follows}
    moved = [
        replace(each, settings=put(each.settings, ("dynamic", "standby_cluster"), standby[each.site]))
        if each.program == "postgres"
        else each
        for each in running
    ]
    [finding] = judge_drift(expected(PLAN, WEST), moved)
    assert finding.severity == "ok"
    assert red(judge_drift(expected(PLAN, EAST), moved)), "by the old truth it is drift"


def test_a_site_that_is_held_is_no_drift(healthy):
    nobody = {"host": "localhost", "port": 1, "restore_command": "false"}
    held = [
        replace(each, settings=put(put(each.settings, ("dynamic", "standby_cluster"), nobody),
                                   ("parameters", "restore_command"), "false"))
        if (each.program, each.site) == ("postgres", WEST) else each
        for each in healthy
    ]  # fmt: skip
    [finding] = judge_drift(expected(PLAN, EAST), held)
    assert (finding.name, finding.severity) == (f"patroni {WEST}: standby_cluster", "warning")


def test_what_could_not_be_asked_is_unknown(healthy):
    silent = [replace(each, unknown="no answer") if each.program == "etcd" else each for each in healthy]
    found = judge_drift(expected(PLAN, EAST), silent)
    assert {each.severity for each in found} == {"unknown"}
    assert len(found) == 3
    assert red(judge_drift(expected(PLAN, EAST), [])), "nothing seen is nothing healthy"


def test_files_are_compared_with_the_repositorys():
    files = texts(EAST, "gateway-east", EAST)
    kept = {f"hosts/{EAST}/gateway-east/{path}": text for path, text in files.items()}
    shown = {"etc/haproxy/haproxy.cfg": files["etc/haproxy/haproxy.cfg"]}
    same = Running(EAST, "gateway-east", "gateway", files=shown)
    assert judge_files(kept, [same]) == ()
    name = f"file {EAST}/gateway-east/etc/haproxy/haproxy.cfg"
    edited = {path: text.replace("leastconn", "roundrobin") for path, text in shown.items()}
    [finding] = judge_files(kept, [replace(same, files=edited)])
    assert (finding.name, finding.red) == (name, True)
    assert "leastconn" in finding.detail
    assert "roundrobin" in finding.detail
    [finding] = judge_files(kept, [replace(same, files=dict.fromkeys(shown))])
    assert "missing" in finding.detail
    assert judge_files({}, [same]) == (), "a repository that keeps no such file says nothing"


SECRET_LINES = [
    'masterauth "hunter2"',
    "requirepass hunter2",
    "sentinel auth-pass naas-redis hunter2",
    '  password: "hunter2"',
    "repo1-cipher-pass=hunter2",
    "repo1-s3-key-secret=hunter2",
    "repo1-s3-key=hunter2",
    '  "secret_key": "hunter2",',
    "tls-key-file-pass hunter2",
    f"user default on #{'a' * 64} ~* &* +@all",
]


@pytest.mark.parametrize("line", SECRET_LINES)
def test_secrets_are_masked_by_name(line):
    shown = without_secrets(f"before 1\n{line}\nafter 2\n")
    assert "hunter2" not in shown
    assert "a" * 64 not in shown
    assert MASK in shown
    assert shown.startswith("before 1\n")
    assert shown.endswith("\nafter 2\n")


def test_what_is_rendered_without_secrets_is_left_as_it_is():
    for name, site in PLAN.sites.items():
        for host in site.hosts:
            for text in texts(name, host, EAST).values():
                assert without_secrets(text) == text


def test_settings_are_masked_by_name():
    settings = {
        "requirepass": "x",
        "masterauth": "x",
        "tls-key-file-pass": "",
        "pool": {"auth_password": "x"},
    }
    assert masked(settings) == {
        "requirepass": MASK, "masterauth": MASK, "tls-key-file-pass": "", "pool": {"auth_password": MASK},
    }  # fmt: skip
    assert masked({"password_encryption": "scram-sha-256"}) == {"password_encryption": "scram-sha-256"}


@pytest.mark.parametrize("algorithm", ["least_connections", "round_robin", "random"])
def test_gateways_balance_as_any_plan_says_and_that_is_no_drift(tmp_path, algorithm):
    document = yaml.safe_load((PLAN.folder / "plan.yaml").read_text())
    document["high_availability"]["load_balancing"]["algorithm"] = algorithm
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(document))
    plan = load_plan(tmp_path / "plan.yaml")
    config = host_files(plan, EAST, "gateway-east", active=EAST, secrets=False)["etc/haproxy/haproxy.cfg"]
    [wanted] = [each for each in expected(plan, EAST) if (each.site, each.program) == (EAST, "gateway")]
    allowed = wanted.settings["backends", "instances", "algorithm"]
    rendered = haproxy(config.text)["backends"]["instances"]["algorithm"]
    assert rendered in (allowed.values if isinstance(allowed, OneOf) else {allowed})
