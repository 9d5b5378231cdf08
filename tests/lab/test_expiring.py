"""What can be restored is shown as it is: with every site up, with the primary dead, and after an expiry."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.platform.metrics import EXPORTER_PORT, MEASURED
from tasks.clients import points, records, restic
from tasks.clients.truth import claim, close
from tasks.expiry import MOVED_CLOCK

# Told after a check of the WAL, a replication, an incident or a drill.
RARE = {
    "dr_wal_disk_full_seconds", "dr_recovery_duration_seconds", "dr_recovery_loss_seconds",
    "dr_drill_last_success_timestamp_seconds", "dr_incident_told_timestamp_seconds",
    "dr_planned_move_timestamp_seconds",
}  # fmt: skip
pytestmark = [pytest.mark.lab, pytest.mark.fault]

PRIMARY, DR, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
DR_PROGRAM = str(Path(sys.executable).with_name("dr"))
ASSET = "configuration/application"


@pytest.fixture(scope="module")
def lab(labs):
    lab = labs.fresh("loopback")
    old_points(lab.plan)
    lab.back_up("database", "files", "redis", "configuration")
    lab.attempt("run", "check_wal_archiving", timeout=300)
    lab.attempt("run", "evaluate_readiness", timeout=300)
    yield lab
    labs.end()


def old_points(plan):
    """Points of the last hundred days, one every five, beside the one of today."""
    today = datetime.now(UTC).replace(microsecond=0)
    for days in range(5, 101, 5):
        points.store(plan, PRIMARY, ASSET, today - timedelta(days=days), {"x": b"old"}, {})


def shown(lab, *options):
    done = lab.attempt("backups", "--json", *options, timeout=60)
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout)


def states(lab, *options):
    return {(row["asset"], row["site"]): row["state"] for row in shown(lab, *options)["rows"]}


def names(plan, site):
    return [point.stamp for point in points.stored(plan, site, ASSET)]


def expire(lab, *parameters, moved=False):
    """`dr run expire_backups` in an environment that may or may not move the clock."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "DR_LAB": str(lab.home.directory),
        **({MOVED_CLOCK: "1"} if moved else {}),
    }
    argv = [DR_PROGRAM, "run", "expire_backups", *(f"--param={each}" for each in parameters)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=250, check=False)


def evidence(plan):
    return json.loads(records.read_all(plan, "evidence/expiry")[-1])


def removed(record):
    return {
        (point["asset"], point["site"], point["name"])
        for outcome in record["outcomes"]
        for point in outcome["decision"]["remove"]
    }


def scraped(plan):
    [address] = plan.sites[DR].addresses("control")
    with urlopen(f"http://{address}:{EXPORTER_PORT}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def metrics_when(plan, fits):
    deadline = time.monotonic() + 200
    while not fits(found := scraped(plan)):
        assert time.monotonic() < deadline, found
        time.sleep(1)
    return found


def test_every_point_at_every_site_is_shown(lab):
    found = shown(lab)
    rows = {(row["asset"], row["site"]): row for row in found["rows"]}
    for site in (PRIMARY, DR, ARCHIVE):
        for asset in ("database", "files/uploads", "redis", "configuration/infrastructure"):
            assert rows[asset, site]["state"] == "ok", rows[asset, site]
        assert rows[ASSET, site]["points"] == 21
        assert rows["secrets/plan", site]["state"] == "missing"
    assert {finding["severity"] for finding in found["coverage"]} == {"ok"}
    assert found["frozen"] == ""
    ids = {point["name"] for point in found["points"] if point["asset"] == "files/uploads"}
    assert ids == {snapshot.id for snapshot in restic.snapshots(lab.plan, PRIMARY)}


def test_the_exporter_tells_the_same(lab):
    unverified = {metric for metric in MEASURED if metric.startswith("dr_verified")}
    wanted = MEASURED.keys() - unverified - RARE

    def is_complete(found):
        states = [found.get(("dr_catalogue_state", ASSET, site, "ok")) for site in (PRIMARY, DR, ARCHIVE)]
        return all(states) and {key[0] for key in found} >= wanted

    found = metrics_when(lab.plan, is_complete)
    assert found["dr_backup_points", ASSET, ARCHIVE] == 21
    assert found["dr_catalogue_state", "secrets/plan", PRIMARY, "missing"] == 1
    assert found["dr_recovery_point_age_seconds",] < 900


def test_a_dry_run_shows_what_would_go_and_removes_nothing(lab):
    before = names(lab.plan, PRIMARY)
    done = expire(lab)
    assert done.returncode == 0, done.stderr
    record = evidence(lab.plan)
    assert record["dry_run"]
    assert record["ended"] is None
    assert removed(record) == {(ASSET, site, name) for site in lab.plan.sites for name in before[:3]}
    assert "remove: past its snapshot retention" in done.stderr
    assert all(names(lab.plan, site) == before for site in lab.plan.sites)


def test_nothing_goes_while_an_incident_is_open(lab):
    before = names(lab.plan, PRIMARY)
    mine = claim(lab.plan, "20261124-expiry-test", PRIMARY)
    try:
        done = expire(lab, "dry_run=false")
        assert done.returncode == 2
        assert "expiry is frozen" in done.stderr
        assert mine.incident in done.stderr
        assert mine.incident in shown(lab)["frozen"]
        metrics_when(lab.plan, lambda found: found["dr_expiry_frozen",] == 1)
    finally:
        close(lab.plan, mine)
    assert all(names(lab.plan, site) == before for site in lab.plan.sites)
    assert shown(lab)["frozen"] == ""


def test_exactly_what_is_past_its_retention_goes_at_every_site_and_stays_away(lab):
    before = {row["asset"]: row["points"] for row in shown(lab, "--site", DR)["rows"]}
    expected = names(lab.plan, PRIMARY)[3:]
    done = expire(lab, "dry_run=false")
    assert done.returncode == 0, done.stderr
    record = evidence(lab.plan)
    assert record["ended"]
    assert len(removed(record)) == 3 * len(lab.plan.sites)
    lab.dr("run", "replicate_backups", timeout=300)
    assert all(names(lab.plan, site) == expected for site in lab.plan.sites)
    after = {row["asset"]: row["points"] for row in shown(lab, "--site", DR)["rows"]}
    assert after == before | {ASSET: before[ASSET] - 3}


@pytest.mark.long
def test_only_the_environment_moves_the_clock(lab):
    ahead = f"now={(datetime.now(UTC) + timedelta(days=40)).isoformat()}"
    before = names(lab.plan, PRIMARY)
    done = expire(lab, "dry_run=false", ahead)
    assert done.returncode == 2
    assert "before its time" in done.stderr
    assert names(lab.plan, PRIMARY) == before
    done = expire(lab, "dry_run=false", ahead, moved=True)
    assert done.returncode == 0, done.stderr
    assert all(len(names(lab.plan, site)) == len(before) - 8 for site in lab.plan.sites)
    assert set(states(lab, "--asset", "database").values()) == {"ok"}, "the last good one stays"


def test_a_dead_primary_is_unknown_and_hides_nothing(lab):
    lab.dr("lab", "break", PRIMARY)
    began = time.monotonic()
    found = states(lab)
    assert time.monotonic() - began < 60
    assert {state for (_, site), state in found.items() if site == PRIMARY} == {"unknown"}
    for asset in ("database", "files/uploads", "redis", "configuration/infrastructure"):
        assert found[asset, DR] == found[asset, ARCHIVE] == "ok"
    told = metrics_when(lab.plan, lambda seen: seen["dr_catalogue_state", ASSET, PRIMARY, "unknown"] == 1)
    assert ("dr_backup_points", ASSET, PRIMARY) not in told
    assert told["dr_catalogue_state", ASSET, PRIMARY, "ok"] == 0
    assert told["dr_catalogue_state", ASSET, DR, "ok"] == 1
    done = expire(lab, "dry_run=false")
    assert done.returncode == 1
    assert "what is there is not known" in done.stderr
    assert removed(evidence(lab.plan)) == set(), "copies are left alone with their source"
