"""Real backups: copies taken while backups run restore, and so does a month's point of the archive."""

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from tasks.clients import longterm, patroni, pgbackrest
from tasks.clients.infofile import read_info
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket, Missing
from tasks.clients.remote import run_on
from tasks.copying import pull_repository
from tasks.long_term import keep_long_term
from tasks.policy.long_term import full_backups
from tasks.policy.replication import label_of, replication_pairs, repositories
from tasks.replicate import pull_wal, rules_of
from tasks.verify_long_term import verify_month

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(shared_lab):
    return shared_lab()


@pytest.fixture(scope="module")
def plan(lab):
    return lab.plan


def pull_database(plan):
    """One whole pass to the DR site, and from there to the archive."""
    roles = {name: site.role for name, site in plan.sites.items()}
    of = repositories(plan.postgresql_ha.cluster_name)["pgbackrest"]
    return [
        pull_repository(
            Bucket.readable(plan, pull.source), Bucket.owned(plan, pull.target), of, rules_of(plan)
        )
        for pull in replication_pairs(roles, plan.site_of("primary"))
    ]


def back_up(plan, kind):
    site = plan.site_of("primary")
    pgbackrest.backup(plan, site, patroni.leader(plan, site).name, kind, timeout=200)


def labels(plan, site):
    """The whole backups of a site's copy, by their manifests."""
    folder = f"pgbackrest/backup/{plan.postgresql_ha.cluster_name}"
    keys = [entry.key for entry in Bucket.readable(plan, site).list(folder)]
    return sorted(label_of(key) for key in keys if key.endswith("/backup.manifest"))


def psql(folder):
    return f"psql -h {folder} -p 5999 -U postgres -d postgres -Atc"


def named(plan, site):
    """The full backups that the info file of a site's copy names."""
    key = f"pgbackrest/backup/{plan.postgresql_ha.cluster_name}/backup.info"
    text = read_info(Bucket.readable(plan, site).get(key), plan.secret("repository_cipher"))
    return [each.label for each in full_backups(text)]


@contextmanager
def restored(plan, site, label, path="/pgbackrest"):
    """A backup out of a site's copy, restored on a host of the DR site and started; yields a query."""
    dr = plan.site_of("dr")
    name, host = next(iter(plan.sites[dr].running("postgres").items()))
    layout, storage = Layout.of(plan, dr, name), plan.sites[site].storage
    into, url = layout.root / f"restored-{site}", urlsplit(storage.endpoint)
    key = plan.credentials(storage.reader)
    secrets = {
        "PGBACKREST_REPO1_S3_KEY": key.access_key,
        "PGBACKREST_REPO1_S3_KEY_SECRET": key.secret_key,
        "PGBACKREST_REPO1_CIPHER_PASS": plan.secret("repository_cipher"),
    }
    where = [
        f"--repo1-path={path}",
        f"--repo1-s3-bucket={storage.bucket}",
        f"--repo1-s3-endpoint={url.hostname}",
        f"--repo1-storage-port={url.port}",
        f"--repo1-s3-region={site}",
    ]
    settings = {
        "port": 5999, "listen_addresses": "", "unix_socket_directories": into, "archive_mode": "off",
        "synchronous_standby_names": "", "primary_conninfo": "", "primary_slot_name": "", "ssl": "off",
        "hba_file": into / "hba", "ident_file": into / "ident",
    }  # fmt: skip
    options = " ".join(f"-c {name}={shlex.quote(str(value))}" for name, value in settings.items())
    control = f"{plan.access.postgres_bin}/pg_ctl"

    def on(*argv, given=None):
        return run_on(plan, str(host.address), list(argv), timeout=200, secrets=given)

    on("sh", "-c", f"rm -rf {into} && mkdir -m 700 {into}")
    chosen = [f"--set={label}", "--type=immediate", "--target-action=promote", "--archive-mode=off"]
    on(*shlex.split(layout.pgbackrest), *where, *chosen, f"--pg1-path={into}", "restore", given=secrets)
    on("sh", "-c", f"echo local all all trust > {into}/hba; : > {into}/ident")
    start = [control, "-D", str(into), "-w", "-t", "120", "-l", f"{into}/log", "-o", options, "start"]
    on(*start, given=secrets)
    recovering = f"$({psql(into)} 'select pg_is_in_recovery()')"
    on("sh", "-c", f'for n in $(seq 300); do [ "{recovering}" = f ] && exit; sleep 0.2; done; exit 1')
    try:
        yield lambda sql: on(*shlex.split(psql(into)), sql).strip()
    finally:
        on(control, "-D", str(into), "-m", "immediate", "stop")
        on("rm", "-rf", str(into))


def test_a_copy_taken_while_backups_run_restores(plan):
    back_up(plan, "full")
    taken = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: [back_up(plan, kind) for kind in ("incr", "full")])
        while not running.done() and len(taken) < 60:
            taken += pull_database(plan)
        # The copy as it is now was made in the middle of a backup, or right after it.
        with restored(plan, plan.site_of("archive"), named(plan, plan.site_of("archive"))[-1]) as query:
            assert query("select pg_is_in_recovery()") == "f"
        running.result()
    assert all(not report.conflicts and not report.refused for report in taken)
    pull_wal(plan)
    pull_database(plan)
    assert labels(plan, plan.site_of("dr")) == labels(plan, plan.site_of("primary"))


@pytest.fixture(scope="module")
def point(plan):
    pull_database(plan)
    if not labels(plan, plan.site_of("archive")):
        back_up(plan, "full")
        pull_database(plan)
    return keep_long_term.fn(plan)


def vault(plan, reference=None):
    """The archive's store by way of the control plane, as its owner or with any other credentials."""
    site = plan.site_of("archive")
    storage = plan.sites[site].storage
    key = plan.credentials(reference or storage.owner)
    return storage.bucket, boto3.client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=site,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        verify=str(plan.secret_path("ca_certificate")),
    )


def test_a_month_s_point_is_made_once_and_listed(plan, point):
    assert keep_long_term.fn(plan) == point
    assert longterm.long_term_points(plan) == (point,)
    assert point.until - datetime.now(UTC) > timedelta(days=6 * 365)


def test_a_month_s_point_restores_by_itself(plan, point):
    with restored(plan, plan.site_of("archive"), point.label, f"/{point.name}/pgbackrest") as query:
        assert query("select pg_is_in_recovery()") == "f"
        assert int(query("select count(*) from pg_database")) >= 3


def content(bucket, key):
    with suppress(Missing):
        return bucket.get(key)
    return None


def plant(bucket, key, data):
    """Put an object, or delete it for None, and see that: a store may take the older of two versions."""
    for _ in range(10):
        bucket.delete(key) if data is None else bucket.put(key, data)
        if content(bucket, key) == data:
            return
        time.sleep(1)
    raise AssertionError(f"{bucket.name} does not take {key}")


@contextmanager
def planted(bucket, key, change):
    """An object is another, or gone, to whoever asks for its newest version; the locked one stays below."""
    whole = bucket.get(key)
    try:
        plant(bucket, key, change(whole))
        yield
    finally:
        plant(bucket, key, whole)


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def gone(_data):
    return None


def damages(plan, point):
    [found] = verify_month.fn(plan, point.month)
    return [each.name for each in found.damages]


def test_a_month_s_point_is_proven_and_what_is_damaged_or_lost_of_it_is_named(plan, point):
    [whole] = verify_month.fn(plan, point.month)
    assert (whole.damages, whole.objects, whole.bytes) == ((), point.objects, point.size)
    bucket = Bucket.owned(plan, plan.site_of("archive"))
    keys = [entry.key for entry in bucket.list(f"{point.name}/pgbackrest") if entry.size]
    bundle = next(key for key in keys if "/bundle/" in key)
    segment = next(key for key in keys if "/archive/" in key and key.endswith(".zst"))
    copy = next(key for key in keys if key.endswith("/backup.info.copy"))
    with planted(bucket, bundle, flipped):
        # A bundle is told by the files inside it.
        assert any(point.label in name for name in damages(plan, point))
    with planted(bucket, segment, gone):
        assert any(name.endswith(segment.rpartition("/")[2][:24]) for name in damages(plan, point))
    with planted(bucket, copy, gone):
        assert damages(plan, point) == [copy]
    assert damages(plan, point) == []


def test_not_even_the_archives_owner_deletes_a_locked_version_or_shortens_its_retention(plan, point):
    bucket, client = vault(plan)
    for name in (
        "point.json",
        f"pgbackrest/backup/{plan.postgresql_ha.cluster_name}/{point.label}/backup.manifest",
    ):
        key = f"{point.name}/{name}"
        retention = client.get_object_retention(Bucket=bucket, Key=key)["Retention"]
        assert retention["Mode"] == "COMPLIANCE"
        assert retention["RetainUntilDate"] >= point.until
        version = client.head_object(Bucket=bucket, Key=key)["VersionId"]
        shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        with pytest.raises(ClientError):
            client.put_object_retention(Bucket=bucket, Key=key, Retention=shorter)
        with pytest.raises(ClientError):
            client.put_object_retention(
                Bucket=bucket, Key=key, Retention=shorter, BypassGovernanceRetention=True
            )
        assert client.head_object(Bucket=bucket, Key=key, VersionId=version)["ResponseMetadata"]


def test_whoever_holds_the_primarys_credentials_changes_nothing_of_the_archive(plan, point):
    bucket, owner = vault(plan)
    key = f"pgbackrest/archive/{plan.postgresql_ha.cluster_name}/archive.info"
    before = owner.list_object_versions(Bucket=bucket, Prefix="")
    storage = plan.sites[plan.site_of("primary")].storage
    later = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=9999)}
    for reference in (storage.owner, storage.reader):
        _, client = vault(plan, reference)
        attempts = (
            lambda c=client: c.delete_object(Bucket=bucket, Key=key),
            lambda c=client: c.put_object(Bucket=bucket, Key=key, Body=b"overwritten"),
            lambda c=client: c.get_object(Bucket=bucket, Key=key),
            lambda c=client: c.put_object_retention(Bucket=bucket, Key=key, Retention=later),
            lambda c=client: c.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
            ),
            lambda c=client: c.delete_bucket(Bucket=bucket),
            lambda c=client: c.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}),
        )
        for attempt in attempts:
            with pytest.raises(ClientError, match=r"AccessDenied|InvalidAccessKeyId"):
                attempt()
    after = owner.list_object_versions(Bucket=bucket, Prefix="")
    assert [each["VersionId"] for each in after["Versions"]] == [
        each["VersionId"] for each in before["Versions"]
    ]


def test_no_host_of_the_primary_holds_a_secret_of_the_archive(lab, plan):
    primary, archive = plan.site_of("primary"), plan.site_of("archive")
    storage = plan.sites[archive].storage
    secrets = [plan.credentials(reference).secret_key for reference in (storage.owner, storage.reader)]
    held = [
        path
        for host in plan.sites[primary].hosts
        for path in lab.home.root(primary, host).rglob("*")
        if path.is_file() and path.stat().st_size < 10_000_000
    ]
    assert held
    text = [path for path in held if any(secret.encode() in path.read_bytes() for secret in secrets)]
    assert text == []
