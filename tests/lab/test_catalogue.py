"""What can be restored is shown as it is: with every site up, with the primary dead, and after an expiry."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from infra.platform.metrics import EXPORTER_PORT, MEASURED
from tasks.clients import points, records, restic
from tasks.clients.objects import Bucket
from tasks.clients.truth import claim, close
from tasks.expiry import MOVED_CLOCK

pytestmark = [pytest.mark.lab, pytest.mark.fault]

PRIMARY, DR, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
ASSET = "configuration/application"


@pytest.fixture(scope="module")
def lab(labs):
    lab = labs.fresh("loopback")
    for kind in ("database", "files", "redis", "configuration"):
        lab.dr("run", f"backup_{kind}", timeout=300)
    old_points(lab.plan)
    lab.dr("run", "replicate_backups", timeout=300)
    return lab


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
    environment = {**os.environ, MOVED_CLOCK: "1"} if moved else None
    return lab.attempt("run", "expire_backups", *(f"--param={each}" for each in parameters), timeout=200, **(
        {"environment": environment} if environment else {}
    ))


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
    return {
        (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
    }


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
