"""The CloudFormation stack that is a standby site's hosts: instances, their one group, role and buckets.

Source: AWS CloudFormation template reference; Amazon VPC user guide, "Amazon VPC quotas".
"""

from typing import Any

from tasks.clients.buckets import anybody_reads
from tasks.plan.infrastructure import CloudFormation
from tasks.plan.plan import Plan
from tasks.plan.sites import Site

_BUCKET, _STATUS_BUCKET = "Bucket", "StatusBucket"


def recovery_stacks(plan: Plan) -> dict[str, dict[str, Any]]:
    """The template of each site that can take over, by file name; none where the plan asks for no stack."""
    given = plan.recovery.infrastructure
    if given is None or given.cloudformation is None:
        return {}
    able = [name for name, site in plan.sites.items() if site.role != "archive"]
    return {f"recovery-{name}.yaml": recovery_stack(plan, name, given.cloudformation) for name in able}


def recovery_stack(plan: Plan, name: str, wanted: CloudFormation) -> dict[str, Any]:
    """One site's template.

    Args:
        plan: the plan.
        name: the site.
        wanted: what the plan says of the stack.
    """
    site = plan.sites[name]
    # Amazon's own object store takes the place of a host that stores.
    hosts = {host: each for host, each in site.hosts.items() if set(each.runs) != {"storage"}}
    instances = {
        _logical(host): {
            "Type": "AWS::EC2::Instance",
            "Properties": {
                **_common(wanted),
                "InstanceType": wanted.types.get(host, wanted.instance_type),
                "PrivateIpAddress": str(each.address),
                "SubnetId": wanted.subnets.get(each.zone, next(iter(wanted.subnets.values()))),
                "Tags": _tags(plan, host),
            },
        }
        for host, each in hosts.items()
    }
    buckets = {_BUCKET: _bucket(plan, site)}
    if site.storage.status_bucket:
        buckets[_STATUS_BUCKET] = _status_bucket(plan, site.storage.status_bucket)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{plan.service.name}: the hosts of {name}",
        "Parameters": {
            f"Make{each}": {"Type": "String", "AllowedValues": ["yes", "no"], "Default": "no"}
            for each in buckets
        },
        "Conditions": {f"Makes{each}": {"Fn::Equals": [_ref(f"Make{each}"), "yes"]} for each in buckets},
        "Resources": {
            "Group": _group(plan, site, wanted),
            "Inside": _inside(),
            "Role": _role(plan, site),
            "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [_ref("Role")]}},
            **buckets,
            **({f"{_STATUS_BUCKET}Policy": _public()} if _STATUS_BUCKET in buckets else {}),
            **instances,
        },
        "Outputs": {_logical(host): {"Value": _ref(_logical(host))} for host in hosts},
    }


def _group(plan: Plan, site: Site, wanted: CloudFormation) -> dict[str, Any]:
    """Who reaches the hosts from outside the site: the plan's other hosts and operators, by address.

    One rule an address: a group takes 60 unless Amazon allows more, and a rule for each port would need more.
    Every program asks who is there; what listens is scanned when a recovery is validated.
    """
    others = [each for each in plan.sites.values() if each is not site]
    known = [
        *((str(address), "operator") for address in plan.access.operators),
        *((str(host.address), name) for each in others for name, host in each.hosts.items()),
    ]
    rules = [
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "CidrIp": f"{address}/32", "Description": name}
        for address, name in known
    ]
    properties = {
        "GroupDescription": f"{plan.service.name}: the addresses of the plan",
        "VpcId": wanted.network,
        "SecurityGroupIngress": rules,
    }
    return {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}


def _inside() -> dict[str, Any]:
    """The site's hosts reach each other: a rule of its own, for a group cannot name itself."""
    properties = {
        "GroupId": _attribute("Group", "GroupId"),
        "SourceSecurityGroupId": _attribute("Group", "GroupId"),
        "IpProtocol": "tcp",
        "FromPort": 0,
        "ToPort": 65535,
    }
    return {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": properties}


def _role(plan: Plan, site: Site) -> dict[str, Any]:
    own = [bucket for bucket in (site.storage.bucket, site.storage.status_bucket) if bucket]
    others = [each.storage.bucket for each in plan.sites.values() if each is not site]
    read = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
    allowed = [
        _allow([*read, "s3:PutObject", "s3:DeleteObject"], own),
        _allow(read, others),
    ]
    properties = {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
            ],
        },
        "Policies": [
            {"PolicyName": "buckets", "PolicyDocument": {"Version": "2012-10-17", "Statement": allowed}}
        ],
    }
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def _allow(actions: list[str], buckets: list[str]) -> dict[str, Any]:
    resources = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}{end}"} for bucket in buckets for end in ("", "/*")
    ]
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _bucket(plan: Plan, site: Site) -> dict[str, Any]:
    lock = site.storage.object_lock
    found = _kept_bucket(plan, site.storage.bucket, _BUCKET)
    found["Properties"] |= {
        "PublicAccessBlockConfiguration": _blocked(policies=True),
        "ObjectLockEnabled": True,
    }
    if lock is not None:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": lock.days}}
        lock_configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        found["Properties"]["ObjectLockConfiguration"] = lock_configuration
    return found


def _status_bucket(plan: Plan, name: str) -> dict[str, Any]:
    """Where the status page lies: public through its policy, and through nothing else."""
    found = _kept_bucket(plan, name, _STATUS_BUCKET)
    found["Properties"]["PublicAccessBlockConfiguration"] = _blocked(policies=False)
    return found


def _public() -> dict[str, Any]:
    objects = {"Fn::Sub": f"${{{_STATUS_BUCKET}.Arn}}/*"}
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Condition": f"Makes{_STATUS_BUCKET}",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"Bucket": _ref(_STATUS_BUCKET), "PolicyDocument": anybody_reads(objects)},
    }


def _kept_bucket(plan: Plan, name: str, logical: str) -> dict[str, Any]:
    """A bucket that is encrypted and versioned."""
    encryption = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    return {
        "Type": "AWS::S3::Bucket",
        "Condition": f"Makes{logical}",
        # A stack that goes takes nothing along.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketName": name,
            "VersioningConfiguration": {"Status": "Enabled"},
            "BucketEncryption": {"ServerSideEncryptionConfiguration": encryption},
            "Tags": _tags(plan, name),
        },
    }


def _blocked(*, policies: bool) -> dict[str, bool]:
    """No access list makes a bucket public, and no policy where those are blocked too."""
    return {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": policies,
        "RestrictPublicBuckets": policies,
    }


def _common(wanted: CloudFormation) -> dict[str, Any]:
    disk = {"VolumeSize": wanted.volume_gigabytes, "VolumeType": "gp3", "Encrypted": True}
    return {
        "ImageId": wanted.image,
        "SecurityGroupIds": [_attribute("Group", "GroupId")],
        "IamInstanceProfile": _ref("Profile"),
        "MetadataOptions": {"HttpTokens": "required"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": disk}],
    }


def _tags(plan: Plan, name: str) -> list[dict[str, str]]:
    return [{"Key": "Name", "Value": name}, {"Key": "service", "Value": plan.service.name}]


def _logical(host: str) -> str:
    """A logical id: letters and digits alone."""
    return "".join(part.title() for part in host.split("-"))


def _ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def _attribute(name: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}
