"""S3's own replication from one site's bucket to another's, configured and verified; AWS only.

It copies what is written from then on, and no deletion: the pull heals what is missing.

Source: Amazon S3 API reference, "PutBucketReplication", "HeadObject"; S3 user guide, "Replication status".
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from tasks.clients.buckets import control_plane, told
from tasks.errors import Refused
from tasks.plan.plan import Plan

# Replication Time Control promises 15 minutes for 99.99 % of objects.
_LATE = timedelta(minutes=15)
_OBJECTS_SEEN = 20_000
Problem = tuple[str, str]


def ensure_native_replication(plan: Plan, source_site: str, target_site: str) -> bool:
    """Let S3 replicate a site's bucket to another's; rules of others stay as they are.

    Returns:
        whether anything had to be changed.

    Raises:
        Refused: the plan names no role for it.
        Permanent: a store refuses.
        Transient: a store does not answer.
    """
    role = _role(plan, source_site)
    changed = [_ensure_versioning(plan, site) for site in (source_site, target_site)]
    source, wanted = control_plane(plan, source_site), _rule(plan, source_site, target_site)
    bucket = plan.sites[source_site].storage.bucket
    with told(f"the replication of bucket {bucket}"):
        now = _configuration(source, bucket)
        others = [rule for rule in now.get("Rules", []) if rule.get("ID") != wanted["ID"]]
        wanted["Priority"] = _priority(now, others, wanted["ID"])
        if now.get("Role") != role or wanted not in map(_comparable, now.get("Rules", [])):
            configuration = {"Role": role, "Rules": [*others, wanted]}
            source.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)
            return True
    return any(changed)


def check_native_replication(
    plan: Plan, source_site: str, target_site: str, *, sample: int = 50
) -> tuple[Problem, ...]:
    """See that S3 really replicates: the rule, both buckets' versions, and what became of the newest objects.

    Args:
        plan: the plan.
        source_site: whose bucket is replicated.
        target_site: whose bucket it is replicated to.
        sample: of how many of the newest objects the status is read.

    Returns:
        each problem: what it concerns, and how it is; none means that it works.

    Raises:
        Refused: the plan names no role for it.
        Permanent: a store refuses.
        Transient: a store does not answer.
    """
    problems = [*_rule_problems(plan, source_site, target_site)]
    for site in (source_site, target_site):
        bucket = plan.sites[site].storage.bucket
        with told(f"bucket {bucket}"):
            status = _versioning(plan, site)
        if status != "Enabled":
            problems.append((f"bucket {bucket}", f"its versioning is {status or 'off'}"))
    return (*problems, *_object_problems(plan, source_site, sample))


def _rule(plan: Plan, source_site: str, target_site: str) -> dict[str, Any]:
    partition = _role(plan, source_site).split(":")[1]
    return {
        "ID": f"naas-dr-{target_site}",
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        # What the source loses, the copy keeps.
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:{partition}:s3:::{plan.sites[target_site].storage.bucket}"},
    }


def _rule_problems(plan: Plan, source_site: str, target_site: str) -> Iterable[Problem]:
    bucket, wanted = plan.sites[source_site].storage.bucket, _rule(plan, source_site, target_site)
    what = f"replication of bucket {bucket} to {target_site}"
    with told(f"the replication of bucket {bucket}"):
        now = _configuration(control_plane(plan, source_site), bucket)
    rules = [rule for rule in now.get("Rules", []) if rule.get("ID") == wanted["ID"]]
    if not rules:
        return [(what, f"there is no rule {wanted['ID']}")]
    found = _comparable(rules[0]) | {"the role": now.get("Role")}
    wanted["the role"] = _role(plan, source_site)
    return [
        (what, f"{key} is {found.get(key)}, wanted {wanted[key]}")
        for key in ("the role", "Status", "Destination", "Filter", "DeleteMarkerReplication")
        if found.get(key) != wanted[key]
    ]


def _object_problems(plan: Plan, site: str, sample: int) -> list[Problem]:
    """What S3 says of the newest objects; one older than the rule has no status, and is the pull's."""
    bucket, client, problems = plan.sites[site].storage.bucket, control_plane(plan, site), []
    with told(f"bucket {bucket}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        listed = islice((each for page in pages for each in page.get("Contents", [])), _OBJECTS_SEEN)
        newest = sorted(listed, key=lambda each: each["LastModified"], reverse=True)[:sample]
        for each in newest:
            status = client.head_object(Bucket=bucket, Key=each["Key"]).get("ReplicationStatus")
            late = datetime.now(UTC) - each["LastModified"] > _LATE
            if status == "FAILED" or (status == "PENDING" and late):
                problems.append((each["Key"], f"its replication is {status.lower()}"))
    return problems


def _ensure_versioning(plan: Plan, site: str) -> bool:
    bucket = plan.sites[site].storage.bucket
    with told(f"bucket {bucket}"):
        if _versioning(plan, site) == "Enabled":
            return False
        enabled = {"Status": "Enabled"}
        control_plane(plan, site).put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    return True


def _versioning(plan: Plan, site: str) -> str | None:
    bucket = plan.sites[site].storage.bucket
    status: str | None = control_plane(plan, site).get_bucket_versioning(Bucket=bucket).get("Status")
    return status


def _configuration(client: Any, bucket: str) -> dict[str, Any]:
    try:
        found = client.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ReplicationConfigurationNotFoundError":
            return {}
        raise
    return dict(found)


def _priority(now: dict[str, Any], others: Sequence[dict[str, Any]], own: str) -> int:
    """Each rule has a priority of its own; one that has one keeps it."""
    taken = {rule.get("Priority") for rule in others}
    mine = [rule["Priority"] for rule in now.get("Rules", []) if rule.get("ID") == own and "Priority" in rule]
    free = (number for number in range(1, len(taken) + 2) if number not in taken)
    return int(mine[0]) if mine and mine[0] not in taken else next(free)


def _comparable(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as S3 tells it, with an empty filter as we write it."""
    return rule | {"Filter": rule.get("Filter") or {"Prefix": rule.get("Prefix", "")}}


def _role(plan: Plan, site: str) -> str:
    role = plan.sites[site].storage.native_replication
    if role is None:
        hint = "name an IAM role in storage.native_replication, or let the pull copy"
        raise Refused(f"the plan lets no native replication begin at {site}", hint=hint)
    return role
