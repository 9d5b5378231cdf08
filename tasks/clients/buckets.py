"""The object store's control plane: make a site's bucket, check it, never destroy it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

# S3 refuses to be told that a bucket lies in the region that needs no telling.
_UNSPOKEN_REGION = "us-east-1"


def ensure_bucket(plan: Plan, site: str) -> None:
    """Make a site's bucket where there is none, versioned and locked where the plan says so; then check it.

    Raises:
        Permanent: the store refuses, or the bucket exists and is not what the plan says.
        Transient: the store does not answer.
    """
    storage = plan.sites[site].storage
    client = control_plane(plan, site)
    with told(f"bucket {storage.bucket}"):
        if not _exists(client, storage.bucket):
            _create(client, storage.bucket, site, storage.object_lock)
    check_bucket(plan, site)


def ensure_status_bucket(plan: Plan, site: str) -> None:
    """Make a site's status bucket where there is none, and let anybody read what lies in it.

    Nobody but its owner may do more. Where the plan gives the site none, nothing is done.

    Raises:
        Permanent: the store refuses.
        Transient: the store does not answer.
    """
    bucket = plan.sites[site].storage.status_bucket
    if bucket is None:
        return
    client = control_plane(plan, site)
    with told(f"bucket {bucket}"):
        if not _exists(client, bucket):
            _create(client, bucket, site, None)
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(anybody_reads(f"arn:aws:s3:::{bucket}/*")))


def anybody_reads(objects: str | dict[str, str]) -> dict[str, Any]:
    """The policy of a public bucket.

    Args:
        objects: the ARN of its objects.
    """
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": objects}
    return {"Version": "2012-10-17", "Statement": [statement]}


def bucket_exists(plan: Plan, site: str, bucket: str) -> bool:
    """Whether one of a site's buckets is there.

    Raises:
        Permanent: the store refuses.
        Transient: it does not answer.
    """
    with told(f"bucket {bucket}"):
        return _exists(control_plane(plan, site), bucket)


def check_bucket(plan: Plan, site: str) -> None:
    """See that a site's bucket exists and keeps what the plan wants kept.

    Raises:
        Permanent: it is missing, or its object lock is weaker than the plan's.
        Transient: the store does not answer.
    """
    storage = plan.sites[site].storage
    client = control_plane(plan, site)
    with told(f"bucket {storage.bucket}"):
        if not _exists(client, storage.bucket):
            raise Permanent(
                f"bucket {storage.bucket} of {site} does not exist", hint="create it, then try again"
            )
        if storage.object_lock:
            _check_lock(client, storage.bucket, _days(storage.object_lock))


def _create(client: Any, bucket: str, region: str, object_lock: timedelta | None) -> None:
    where = (
        {} if region == _UNSPOKEN_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bool(object_lock), **where)
    if object_lock is None:
        return
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    # Compliance: not even the owner shortens it, so a stolen key cannot delete the archive.
    retention = {"Mode": "COMPLIANCE", "Days": _days(object_lock)}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)


def _exists(client: Any, bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _status(error) == 404:
            return False
        raise
    return True


def _check_lock(client: Any, bucket: str, days: int) -> None:
    versioning = client.get_bucket_versioning(Bucket=bucket).get("Status")
    lock = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    retention = lock.get("Rule", {}).get("DefaultRetention", {})
    kept = retention.get("Days", 0) + 365 * retention.get("Years", 0)
    if versioning != "Enabled" or retention.get("Mode") != "COMPLIANCE" or kept < days:
        seen = f"versioning {versioning}, retention {retention or 'none'}"
        raise Permanent(f"bucket {bucket} can lose objects", seen, f"lock it: compliance, {days} days")


def _days(duration: timedelta) -> int:
    return -(-duration // timedelta(days=1))


def control_plane(plan: Plan, site: str) -> Any:
    """A boto3 client of a site's store, as its owner.

    Raises:
        Permanent: the credentials or the CA certificate cannot be read.
    """
    storage = plan.sites[site].storage
    owner = plan.credentials(storage.owner)
    return boto3.client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=site,
        aws_access_key_id=owner.access_key,
        aws_secret_access_key=owner.secret_key,
        verify=str(plan.secret_path("ca_certificate")),
        config=Config(
            connect_timeout=2,
            read_timeout=10,
            retries={"total_max_attempts": 2},
            signature_version="s3v4",
            s3={"addressing_style": "path"},
        ),
    )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn boto3's errors into ours.

    Raises:
        Permanent: the store refuses.
        Transient: it does not answer, or fails.
    """
    try:
        yield
    except ClientError as error:
        kind = Transient if _status(error) >= 500 else Permanent
        raise kind(f"the store refused {error.operation_name} of {what}", str(error)) from error
    except BotoCoreError as error:
        raise Transient(f"the store of {what} does not answer", str(error)) from error


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
