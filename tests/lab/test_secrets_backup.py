"""Secrets of files, hosts and AWS Secrets Manager: sealed, opened with the escrowed key, never in clear."""

import io
import subprocess
import tarfile
import time
from decimal import Decimal

import boto3
import pytest
import yaml
from moto_server import PAIR, moto_server
from pyrage import x25519

from tasks.clients import points, secret_sources
from tasks.clients.objects import Bucket
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan
from tasks.secrets_backup import backup_secret, chosen_assets, restore_secret
from tasks.verify_points import verify_points

pytestmark = pytest.mark.lab
SITE = "us-east-1"
BINARY = bytes(range(256))


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    """A server that speaks Secrets Manager, with a text in two versions and a binary secret."""
    with moto_server(tmp_path_factory.mktemp("moto")) as endpoint:
        client = boto3.client("secretsmanager", "us-east-1", endpoint_url=endpoint, **PAIR)
        client.create_secret(Name="naas/api", SecretString="first-planted-secret")
        client.put_secret_value(SecretId="naas/api", SecretString="second-planted-secret")
        client.create_secret(Name="naas/blob", SecretBinary=BINARY)
        yield endpoint


@pytest.fixture(scope="module")
def plan(shared_lab, manager):
    """The lab's plan with a manager beside, in the lab's own folder."""
    lab = shared_lab()
    document = yaml.safe_load(lab.home.plan_file.read_text())
    credentials = lab.home.directory / "secrets/manager.json"
    credentials.write_text('{"access_key": "a", "secret_key": "manager-planted-secret"}')
    document["protection"]["secrets"]["manager"] = {
        "region": "us-east-1", "names": ["naas/api", "naas/blob"],
        "credentials": "file:secrets/manager.json", "endpoint": manager,
    }  # fmt: skip
    file = lab.home.directory / "plan-with-manager.yaml"
    file.write_text(yaml.safe_dump(document))
    try:
        yield load_plan(file)
    finally:
        file.unlink()
        credentials.unlink()


@pytest.fixture(scope="module")
def sealed(plan):
    """One point of every asset of secrets."""
    done = {asset: backup_secret.fn(plan, asset) for asset in chosen_assets(plan, None)}
    yield done
    for point in done.values():
        points.remove(plan, SITE, point)


def with_secrets(plan, **changes):
    secrets = plan.protection.secrets.model_copy(update=changes)
    other = plan.model_copy(update={"protection": plan.protection.model_copy(update={"secrets": secrets})})
    other._folder = plan.folder
    return other


def test_every_asset_of_the_plan_is_sealed(plan, sealed):
    assert set(sealed) == {"secrets/manager", "secrets/plan", "secrets/store-certificates"}
    assert set(sealed) <= set(plan.protection.assets())
    with pytest.raises(Refused, match="no asset of secrets"):
        chosen_assets(plan, "secrets/else")


def test_the_plans_own_secrets_come_back(plan, sealed, tmp_path):
    into = tmp_path / "back"
    told = restore_secret.fn(plan, SITE, "secrets/plan", None, None, into)
    assert sealed["secrets/plan"].stamp in told
    files = {str(p.relative_to(into)): p for p in into.rglob("*") if p.is_file()}
    for name, path in files.items():
        assert path.read_bytes() == (plan.folder / name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    wanted = {"secrets/redis", "secrets/ca.crt", "secrets/manager.json", f"secrets/{SITE}/owner.json"}
    assert wanted <= files.keys()
    assert "secrets/recovery_key" not in files
    assert into.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Refused, match="not an empty directory"):
        restore_secret.fn(plan, SITE, "secrets/plan", None, None, into)


def test_a_file_of_a_host_comes_back(plan, sealed, tmp_path):
    restore_secret.fn(plan, SITE, "secrets/store-certificates", None, None, tmp_path)
    name = next(iter(plan.sites[SITE].running("storage")))
    assert (tmp_path / "server.crt").read_bytes() == (
        plan.folder / "sites" / SITE / name / "server.crt"
    ).read_bytes()


def test_every_version_of_a_managed_secret_comes_back_by_age_and_tar_alone(plan, sealed):
    point = sealed["secrets/manager"]
    key = plan.folder / plan.protection.secrets.recovery_key.removeprefix("file:")
    data = Bucket.readable(plan, SITE).get(point.key("secrets.tar"))
    opened = subprocess.run(["age", "-d", "-i", key], input=data, capture_output=True, check=True, timeout=30)
    with tarfile.open(fileobj=io.BytesIO(opened.stdout)) as tar:
        contents = [tar.extractfile(member).read() for member in tar]
    assert {b"first-planted-secret", b"second-planted-secret", BINARY} <= set(contents)
    assert b"AWSCURRENT" in b"".join(contents)


def test_nothing_sealed_shows_a_secret(plan, sealed):
    values = [content for asset in sealed for content in secret_sources.read(plan, asset, SITE).values()]
    stored = [entry.key for entry in Bucket.readable(plan, SITE).list("points/secrets")]
    assert len(stored) == 2 * len(sealed)
    for key in stored:
        data = Bucket.readable(plan, SITE).get(key)
        assert not any(value.strip() in data for value in values if len(value.strip()) > 7)


def test_verification_passes_and_names_damage_of_each_object(plan, sealed):
    assets = sorted(sealed)
    assert [found.damages for found in verify_points.fn(plan, SITE, assets, Decimal("0.1"))] == [(), (), ()]
    bucket = Bucket.owned(plan, SITE)
    for asset, point in sealed.items():
        for key in (point.key("secrets.tar"), f"{point.folder}/manifest.json"):
            data = bucket.get(key)
            bucket.put(key, data[:40] + bytes([data[40] ^ 1]) + data[41:])
            [found] = verify_points.fn(plan, SITE, [asset], Decimal(0))
            bucket.put(key, data)
            assert key in [damage.name for damage in found.damages]
    [none] = verify_points.fn(plan, "eu-west-1", ["secrets/never"], Decimal(1))
    assert [damage.what for damage in none.damages] == ["there is no whole point"]


def test_a_wrong_escrowed_key_is_found_by_backup_and_verification(plan, sealed, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{x25519.Identity.generate()}\n")
    other = with_secrets(plan, recovery_key=f"file:{wrong}")
    [found] = verify_points.fn(other, SITE, ["secrets/store-certificates"], Decimal(0))
    assert "No matching keys" in found.damages[0].what
    time.sleep(1)  # another second is another point
    with pytest.raises(Permanent, match="does not open"):
        backup_secret.fn(other, "secrets/store-certificates")
    for point in points.stored(plan, SITE, "secrets/store-certificates"):
        if point != sealed["secrets/store-certificates"]:
            points.remove(plan, SITE, point)


def test_what_cannot_be_read_is_named_and_not_left_out(plan, tmp_path):
    files = dict(plan.protection.secrets.files)
    files["store-certificates"] = files["store-certificates"].model_copy(update={"path": "/no/such"})
    with pytest.raises((Permanent, Transient), match="/no/such"):
        secret_sources.read(with_secrets(plan, files=files), "secrets/store-certificates", SITE)
    with pytest.raises(Permanent, match="cannot be read"):
        secret_sources.read(with_secrets(plan, recipients="env:NOT_THERE"), "secrets/plan", SITE)
    manager = plan.protection.secrets.manager
    for changed, kind in (({"names": ("none",)}, Permanent), ({"endpoint": "http://127.0.0.1:9"}, Transient)):
        other = with_secrets(plan, manager=manager.model_copy(update=changed))
        with pytest.raises(kind, match="Secrets Manager does not give"):
            secret_sources.read(other, "secrets/manager", SITE)


def test_secrets_in_the_environment_are_sealed_too(plan, monkeypatch):
    monkeypatch.setenv("SOME_RECIPIENTS", (plan.folder / "secrets/recovery_recipients").read_text())
    other = with_secrets(plan, recipients="env:SOME_RECIPIENTS")
    assert b"age1" in secret_sources.read(other, "secrets/plan", SITE)["env/SOME_RECIPIENTS"]


def test_a_tar_that_would_leave_its_directory_is_refused():
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(Permanent, match="plain"):
        secret_sources.unpack(into.getvalue())
    whole = secret_sources.pack({"a": b"x" * 4000})
    with pytest.raises(Permanent, match="whole tar"):
        secret_sources.unpack(whole[:1000])
