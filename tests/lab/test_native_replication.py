"""S3's own replication: configured, verified, and each way in which it can be wrong found by name."""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from infra.lab.secrets import make_secrets
from tasks.clients import native_replication
from tasks.clients.buckets import control_plane, ensure_bucket
from tasks.clients.native_replication import check_native_replication, ensure_native_replication
from tasks.errors import Permanent, Refused, Transient
from tasks.native_replication import native_pulls, replicate_natively
from tasks.plan.load import load_plan
from tasks.policy.replication import Pull

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::123456789012:role/naas-replication"
SOURCE, TARGET = "us-east-1", "us-west-2"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    document = yaml.safe_load((ROOT / "deployments/plan.yaml").read_text())
    port, addresses = free_port(), {}
    for site in (SOURCE, TARGET):
        storage = document["sites"][site]["storage"]
        addresses[site] = storage["endpoint"].removeprefix("https://").partition(":")[0]
        storage["endpoint"] = f"https://{addresses[site]}:{port}"
    document["sites"][SOURCE]["storage"]["native_replication"] = ROLE
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    loaded = load_plan(folder / "plan.yaml")
    make_secrets(loaded, folder)
    stores = [f"{address}={folder}/secrets/{site}" for site, address in addresses.items()]
    program = [sys.executable, str(Path(__file__).with_name("moto_store.py")), str(port), *stores]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ))
    try:
        assert process.stdout.readline() == b"ready\n", (folder / "log").read_text()
        yield loaded
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def replicated(plan):
    for site in (SOURCE, TARGET):
        ensure_bucket(plan, site)
    control_plane(plan, SOURCE).delete_bucket_replication(Bucket=plan.sites[SOURCE].storage.bucket)
    ensure_native_replication(plan, SOURCE, TARGET)
    assert check_native_replication(plan, SOURCE, TARGET) == ()
    return control_plane(plan, SOURCE), plan.sites[SOURCE].storage.bucket


def rules(client, bucket):
    return client.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]


def test_it_is_configured_once_and_beside_the_rules_of_others(plan, replicated):
    client, bucket = replicated
    assert not ensure_native_replication(plan, SOURCE, TARGET), "again is no change"
    foreign = {
        "ID": "audit", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::audit"},
    }  # fmt: skip
    client.put_bucket_replication(Bucket=bucket, ReplicationConfiguration={"Role": ROLE, "Rules": [foreign]})
    assert ensure_native_replication(plan, SOURCE, TARGET)
    found = {rule["ID"]: rule for rule in rules(client, bucket)}
    assert set(found) == {"audit", f"naas-dr-{TARGET}"}
    assert found["audit"]["Destination"] == foreign["Destination"]
    assert len({rule["Priority"] for rule in found.values()}) == 2


def plant(key, value):
    def change(client, bucket):
        configuration = client.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
        if key == "Role":
            configuration["Role"] = value
        else:
            configuration["Rules"][0][key] = value
        client.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)

    return change


FAULTS = {
    "Status": plant("Status", "Disabled"),
    "Destination": plant("Destination", {"Bucket": "arn:aws:s3:::elsewhere"}),
    "the role": plant("Role", "arn:aws:iam::123456789012:role/other"),
    "no rule": lambda client, bucket: client.delete_bucket_replication(Bucket=bucket),
    "versioning": lambda client, bucket: client.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_healed(plan, replicated, fault):
    FAULTS[fault](*replicated)
    found = check_native_replication(plan, SOURCE, TARGET)
    assert len(found) == 1
    assert fault in found[0][1], found
    assert ensure_native_replication(plan, SOURCE, TARGET)
    assert check_native_replication(plan, SOURCE, TARGET) == ()


def test_the_targets_versioning_is_looked_at_too(plan, replicated):
    target, bucket = control_plane(plan, TARGET), plan.sites[TARGET].storage.bucket
    target.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert [what for what, _ in check_native_replication(plan, SOURCE, TARGET)] == [f"bucket {bucket}"]


def test_objects_that_were_not_replicated_are_named(plan, replicated, monkeypatch):
    client, bucket = replicated
    for status in ("completed", "failed", "pending"):
        client.put_object(Bucket=bucket, Key=f"points/status-{status}", Body=b"x")
    try:
        found = check_native_replication(plan, SOURCE, TARGET)
        assert [what for what, _ in found] == ["points/status-failed"], "a young pending one is good"
        monkeypatch.setattr(native_replication, "_LATE", timedelta(0))
        found = check_native_replication(plan, SOURCE, TARGET)
        assert {what for what, _ in found} == {"points/status-failed", "points/status-pending"}
        told = replicate_natively.fn(plan, Pull(SOURCE, TARGET))
        assert {each.severity for each in told} == {"warning"}
    finally:
        for status in ("completed", "failed", "pending"):
            client.delete_object(Bucket=bucket, Key=f"points/status-{status}")
    assert [each.severity for each in replicate_natively.fn(plan, Pull(SOURCE, TARGET))] == ["ok"]


def test_where_the_plan_names_no_role_nothing_is_done(plan):
    pulls = (Pull(SOURCE, TARGET), Pull(TARGET, SOURCE))
    assert native_pulls(plan, (*pulls, *pulls)) == pulls[:1]
    with pytest.raises(Refused, match="native replication"):
        ensure_native_replication(plan, TARGET, SOURCE)


def test_a_store_that_does_not_answer_is_a_warning(plan):
    with pytest.raises((Permanent, Transient)):
        check_native_replication(plan, SOURCE, "eu-west-1")
    found = replicate_natively.fn(plan, Pull(SOURCE, "eu-west-1"))
    assert [each.severity for each in found] == ["warning"]
