"""No standby is left: the service is recovered from a copy of its backups, its loss told to the order."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import redis
from lab_handle import DR

from infra.lab.traffic import add_rows
from tasks.clients import archiver, cache, held, journal, ledger, patroni, postgres
from tasks.clients.digests import digests_of
from tasks.clients.layout import Layout
from tasks.clients.psql import Psql
from tasks.clients.trees import tree_digest

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(900), pytest.mark.long]

ORDERS_A_SECOND = 10
KEYS = {f"basket:{n}": f"value {n}" for n in range(50)}


@pytest.fixture
def lab(labs):
    """A lab whose backups are at every site."""
    lab = labs.fresh("loopback")
    add_rows(lab.plan, lab.plan.site_of("primary"), 20_000)
    lab.back_up("database")
    yield lab
    labs.end()


def master(lab, role):
    return cache.master_of(lab.plan, lab.plan.site_of(role))


def leader(lab, site):
    return patroni.leader(lab.plan, site)


def under_load_until_some_is_archived(lab, site):
    """Orders of which some are in the copies of the WAL, and some are not; the load goes on."""
    lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
    time.sleep(3)
    ended = archiver.switch_wal(lab.plan, leader(lab, site).host)
    deadline = time.monotonic() + 60
    while any(held.look(lab.plan, lab.plan.site_of(role)).newest_wal < ended for role in ("dr", "archive")):
        assert time.monotonic() < deadline, "the segment does not reach the copies"
        time.sleep(0.5)
    time.sleep(3)


def disaster(lab, old, new):
    lab.dr("lab", "wipe", new)
    lab.dr("lab", "break", old)


def recover(lab, site, *words, timeout=900):
    return lab.dr("run", "recover-cold", "--param", "reason=both regions", *words, site=site, timeout=timeout)


def report(lab):
    return json.loads(lab.dr("report", "latest", "--json"))


def missing_ids(lab, site):
    return ledger.missing(lab.plan, leader(lab, site).host, ledger.acknowledged(lab.plan))


def assert_exact(lab, site):
    """The reported loss is the clients' own count, something was lost, and the bound holds."""
    told, missing = report(lab), missing_ids(lab, site)
    assert told["rpo"]["basis"] == "exact"
    assert told["rpo"]["lost_transactions"] == told["ledger"]["missing"] == len(missing) > 0
    assert told["bound"]["lost_transactions"] >= len(missing)
    assert told["bound"]["lost_seconds"] >= told["rpo"]["lost_seconds"]
    assert told["ledger"]["acknowledged"] > len(missing)
    print(told["rto_seconds"], told["rpo"], told["bound"], told["restored"])  # noqa: T201 - evidence, with -s
    return told


def assert_whole_site(lab, site):
    """One primary that takes writes, and every other node streams from it."""
    members = {member.name: member for member in patroni.members(lab.plan, site)}
    assert set(members) == set(lab.plan.sites[site].running("postgres"))
    assert [m.state for m in members.values() if not m.leads] == ["streaming"] * (len(members) - 1)
    postgres.prove_write(lab.plan, leader(lab, site).host, "test")


def live_digests(lab, site):
    return digests_of(Psql(lab.plan, site, leader(lab, site).name))


def test_from_the_standby_sites_copy_with_both_databases_gone(lab):
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    under_load_until_some_is_archived(lab, old)
    disaster(lab, old, new)
    recover(lab, new)
    lab.dr("lab", "load", "--stop")
    told = assert_exact(lab, new)
    assert told["restored"]["source"] == new
    assert told["restored"]["kept"] == []
    assert_whole_site(lab, new)
    lost = missing_ids(lab, new)
    lab.dr("lab", "heal", old)
    lab.dr("run", "bring-back", site=new, timeout=600)
    exact = report(lab)
    assert exact["rpo"]["lost_transactions"] == len(lost)
    saved = (journal.read(lab.plan, exact["incident"], "diverged/rows.jsonl") or "").splitlines()
    assert lost <= {json.loads(line)["row"]["id"] for line in saved}
    assert_recovered_archive_leads_here(lab, new)


def assert_recovered_archive_leads_here(lab, site):
    """A restore of the recovered site's own repository, to its newest moment, gives what it holds."""
    archiver.switch_wal(lab.plan, leader(lab, site).host)
    expected = live_digests(lab, site)
    time.sleep(5)
    words = ("--param", f"at={moment()}", "--param", f"from_site={site}")
    shown = lab.dr("run", "restore-point-in-time", *words, site=site, timeout=600)
    differing = [line for line in shown.splitlines() if "then" in line and "heartbeat" not in line]
    assert differing == [], (differing, expected)


def moment():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))


def test_from_the_archive_with_the_standby_sites_store_files_and_redis_gone_as_well(lab):
    plan, old, new = lab.plan, lab.plan.site_of("primary"), lab.plan.site_of("dr")
    host = next(iter(plan.sites[new].running("service")))
    uploads = lab.home.root(new, host) / lab.plan.protection.files["uploads"].path.lstrip("/")
    with redis.Redis(host=master(lab, "primary"), password=plan.secret("redis")) as server:
        server.mset(KEYS)
    lab.back_up("files", "redis", "configuration", "secrets")
    before = tree_digest(uploads)
    application = lab.home.directory / "repositories/application"
    under_load_until_some_is_archived(lab, old)
    disaster(lab, old, new)
    lab.dr("lab", "wipe", new, "--what", "store")
    shutil.rmtree(uploads)
    shutil.rmtree(application)
    with redis.Redis(host=master(lab, "dr"), password=plan.secret("redis")) as server:
        server.replicaof("NO", "ONE")
        server.flushall()
    recover(lab, new)
    lab.dr("lab", "load", "--stop")
    told = assert_exact(lab, new)
    assert told["restored"]["source"] == plan.site_of("archive")
    assert_whole_site(lab, new)
    assert tree_digest(uploads) == before
    assert (application / ".git").exists()
    with redis.Redis(host=master(lab, "dr"), password=plan.secret("redis"), decode_responses=True) as server:
        assert {key: server.get(key) for key in KEYS} == KEYS


def test_killed_again_and_again_it_goes_on_where_it_was(lab):
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    (first, *_) = lab.plan.sites[new].running("postgres")
    under_load_until_some_is_archived(lab, old)
    # One node keeps files of its own: they are set aside, and kept.
    lab.dr("lab", "wipe", new)
    own = Layout.of(lab.plan, new, first).data_dir
    own.mkdir(mode=0o700)
    (own / "precious").write_text("of an administrator\n")
    shutil.chown(own, "postgres", "postgres")
    lab.dr("lab", "break", old)
    killed = 0
    while not finished(lab, 5 + 2 * killed):
        killed += 1
        assert killed < 20, "it never ends"
    lab.dr("lab", "load", "--stop")
    assert killed >= 3, "it was not killed often enough to prove anything"
    told = assert_exact(lab, new)
    assert_whole_site(lab, new)
    (kept,) = told["restored"]["kept"]
    assert [path.parent for path in own.parent.glob("*-before-*/precious")] == [Path(kept.partition(":")[2])]


def finished(lab, seconds):
    """One attempt at the same incident, killed with SIGKILL after some seconds; whether it ended before."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    argv = [DR, "run", "recover-cold", "--param", "incident=inc-cold", "--param", "reason=killed"]
    with subprocess.Popen(
        argv, env={**environment, "LANG": "C.UTF-8", "DR_LAB": str(lab.home.directory)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            told, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
    assert process.returncode == 0, told[-3000:]
    return True


def test_a_standby_that_is_not_behind_is_to_be_failed_over_to(lab):
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    lab.dr("lab", "break", old)
    refused = lab.attempt("run", "recover-cold", "--param", "incident=inc-hot", site=new)
    assert refused.returncode == 2
    assert "fail_over --param incident=inc-hot" in refused.stderr
    assert patroni.leader_key(lab.plan, old) != patroni.FENCE
    lab.dr("run", "fail-over", "--param", "incident=inc-hot", site=new)
    assert report(lab)["restored"] is None
