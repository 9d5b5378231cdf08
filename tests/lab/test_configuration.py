"""Configuration on the lab: backed up at once, restorable in every version, and compared with the plan."""

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest
import redis
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from waiting import until

from deployments.register import QUEUED, Deployment, register
from infra.control import ROUTINE_POOL
from infra.lab.control import client_settings
from tasks.clients import patroni, point_contents, points, postgres
from tasks.clients.layout import REDIS_MASTER, Layout
from tasks.clients.objects import Bucket
from tasks.configuration import (
    CAPTURE,
    SERVERS,
    back_up_repository,
    back_up_servers,
    capture_servers,
    find_drift,
)
from tasks.errors import Permanent, Refused
from tasks.restore_configuration import choose_point, restore_point

pytestmark = pytest.mark.lab

FLOW = Deployment("flows.backup_configuration.backup_configuration", ROUTINE_POOL, QUEUED)
SITE = "us-east-1"


@pytest.fixture(scope="module")
def lab(shared_lab):
    return shared_lab()


@pytest.fixture
def plan(lab):
    return lab.plan


def git(repository, *arguments):
    argv = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def commit(plan, text):
    repository = plan.folder / "repositories/application"
    (repository / "notes").write_text(text)
    git(repository, "add", "notes")
    git(repository, "commit", "--quiet", "--message", text)
    return git(repository, "rev-parse", "HEAD")


def restore(plan, into, name="application", *, at=None, point=None):
    return restore_point.fn(plan, name, choose_point.fn(plan, name, None, at, point), into)


def back_up(plan, name="application"):
    time.sleep(1.1)  # a point's name is its second
    return back_up_repository.fn(plan, name)


def test_every_version_of_a_repository_restores(plan, tmp_path):
    seen = {}
    for text in ("one", "two", "three"):
        head = commit(plan, text)
        done = back_up(plan)
        assert (done.new, done.site) == (True, SITE)
        seen[done.point] = (head, text)
    again = back_up(plan)
    assert (again.new, again.why) == (False, "unchanged")
    moments = {each.stamp: each.at for each in points.stored(plan, SITE, "configuration/application")}
    for stamp, (head, text) in seen.items():
        for chosen in ({"point": stamp}, {"at": moments[stamp]}):
            into = tmp_path / f"{stamp}-{next(iter(chosen))}"
            assert restore(plan, into, **chosen) == head
            assert (git(into, "rev-parse", "HEAD"), (into / "notes").read_text()) == (head, text)
            assert git(into, "status", "--porcelain") == ""
    with pytest.raises(Refused, match="not empty"):
        restore(plan, into)
    with pytest.raises(Refused, match="no such point"):
        restore(plan, tmp_path / "none", point="20000101T000000Z")
    assert not (tmp_path / "none").exists()


def test_a_damaged_newest_point_is_replaced_and_never_restored(plan, tmp_path):
    back_up(plan)
    newest = points.stored(plan, SITE, "configuration/application")[-1]
    key = newest.key("repository.bundle")
    bucket = Bucket.owned(plan, SITE)
    good = bucket.get(key)
    bucket.put(key, good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    try:
        assert [named for named, _ in point_contents.damages(plan, SITE, newest, read=True)] == [key]
        with pytest.raises(Permanent):
            restore(plan, tmp_path / "damaged", point=newest.stamp)
        assert not (tmp_path / "damaged").exists()
        done = back_up(plan)
        assert done.new
        assert "damaged" in done.why
    finally:
        bucket.put(key, good)
    assert restore(plan, tmp_path / "good") == newest.facts["head"]


def test_the_servers_configuration_is_stored_without_secrets_and_restores(plan, tmp_path):
    running = capture_servers.fn(plan)
    assert [each for each in running if each.unknown] == []
    first = back_up_servers.fn(plan, running)
    assert not back_up_servers.fn(plan, capture_servers.fn(plan)).new, "two captures of one state are equal"
    chosen = choose_point.fn(plan, SERVERS, None, None, first.point)
    whole = point_contents.open_point(plan, SITE, chosen[1], CAPTURE)
    for text in secrets_of(plan):
        assert text.encode() not in whole
    restored = restore(plan, tmp_path / "servers", SERVERS, point=first.point)
    assert restored == chosen[1].facts["digest"]
    for wanted in (
        f"{SITE}/postgres-primary/postgres.json", f"{SITE}/postgres-primary/etc/patroni/10-patroni.yml",
        f"{SITE}/redis-east-1/redis.json", f"{SITE}/redis-east-1/sentinel.json",
        f"{SITE}/etcd-east/etcd.json",
        f"{SITE}/gateway-east/pgbouncer.json", f"{SITE}/gateway-east/etc/haproxy/haproxy.cfg",
        "edge/endpoint/haproxy.json",
    ):  # fmt: skip
        assert (tmp_path / "servers" / wanted).stat().st_size > 100, wanted


def secrets_of(plan):
    for name in ("database_superuser", "database_replication", "database_service", "patroni_api", "redis",
                 "repository_cipher", "files_cipher", "prefect_api", "prefect_database"):  # fmt: skip
        yield plan.secret(name)
    for site in plan.sites.values():
        for reference in (site.storage.owner, site.storage.reader):
            yield plan.credentials(reference).secret_key


def test_drift_on_real_servers_is_found_by_name_and_a_healthy_lab_has_none(plan):
    assert red(plan) == set()
    with planted(plan) as names:
        assert red(plan) == names
    until(lambda: red(plan) == set())


def red(plan):
    return {each.name for each in find_drift.fn(plan, capture_servers.fn(plan)) if each.red}


@contextmanager
def planted(plan):
    """Changes made by hand on the servers, as people do in a hurry; undone at the end."""
    hosts = plan.sites[SITE].hosts
    host = {name: str(each.address) for name, each in hosts.items()}
    leader = patroni.leader(plan, SITE)
    settings = Layout.of(plan, SITE, "postgres-replica-2").root / "etc/pgbackrest/pgbackrest.conf"
    kept = settings.read_text()
    try:
        patch(plan, leader.host, {"loop_wait": 3})
        alter(plan, leader.host, "alter system set archive_command = '/bin/true'")
        server(plan, host["redis-east-2"]).config_set("maxmemory-policy", "noeviction")
        server(plan, host["redis-east-1"], 26379).sentinel_set(REDIS_MASTER, "quorum", 1)
        gateway(host["gateway-east"], "set server instances/app-east-1 state maint")
        settings.write_text(kept.replace("process-max=", "process-max=1"))
        names = {
            f"patroni {SITE}: loop_wait",
            f"postgres {SITE}/{leader.name}: parameters.archive_command",
            f"redis {SITE}/redis-east-2: config.maxmemory-policy",
            f"sentinel {SITE}/redis-east-1: {REDIS_MASTER}.quorum",
            f"gateway {SITE}/gateway-east: backends.instances.servers.app-east-1.out",
            f"file {SITE}/postgres-replica-2/etc/pgbackrest/pgbackrest.conf",
        }
        until(lambda: names <= red(plan))
        yield names
    finally:
        settings.write_text(kept)
        gateway(host["gateway-east"], "set server instances/app-east-1 state ready")
        server(plan, host["redis-east-1"], 26379).sentinel_set(REDIS_MASTER, "quorum", 2)
        server(plan, host["redis-east-2"]).config_set("maxmemory-policy", "volatile-lru")
        alter(plan, leader.host, "alter system reset archive_command")
        patch(plan, leader.host, {"loop_wait": plan.patroni_timings.loop_wait})


def patch(plan, address, change):
    auth = ("patroni", plan.secret("patroni_api"))
    httpx.patch(f"http://{address}:8008/config", json=change, auth=auth, trust_env=False).raise_for_status()


def alter(plan, address, statement):
    with postgres.connected(plan, address) as connection:
        connection.execute(statement)
        connection.execute("select pg_reload_conf()")


def server(plan, address, port=6379):
    password = plan.secret("redis") if port == 6379 else None
    return redis.Redis(host=address, port=port, password=password, decode_responses=True, socket_timeout=5)


def gateway(address, command):
    with socket.create_connection((address, 9999), timeout=5) as admin:
        admin.sendall(command.encode() + b"\n")
        assert admin.recv(1000).strip() == b""


def test_a_commit_is_backed_up_by_itself(lab, plan):
    settings = client_settings(lab.home, plan)
    known = {
        PREFECT_API_URL: settings["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: settings["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(known):
        register(plan, [FLOW])
        register(plan, [FLOW])
        try:
            begun = time.monotonic()
            head = commit(plan, "told by the hook")
            assert time.monotonic() - begun < 5, "the hook does not hold git up"
            until(lambda: newest_head(plan) == head)
            print(f"commit to stored point: {time.monotonic() - begun:.1f} s")  # noqa: T201 - a figure
        finally:
            register(plan, [])


def newest_head(plan):
    found = points.stored(plan, SITE, "configuration/application")
    return found[-1].facts["head"] if found else ""


def test_a_commit_needs_no_prefect(lab, plan):
    """The hook never fails a commit: here it finds nobody."""
    hook = plan.folder / "repositories/application/.git/hooks/post-commit"
    kept = hook.read_text()
    hook.write_text(kept.replace(":4200/api", ":4/api"))
    try:
        head = commit(plan, "nobody listens")
        assert git(plan.folder / "repositories/application", "rev-parse", "HEAD") == head
    finally:
        hook.write_text(kept)
        shutil.copymode(hook.with_name("post-merge"), hook)
