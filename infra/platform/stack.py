"""The CloudFormation stack that is a standby site's hosts: instances, their one group, role and bucket.

Source: AWS CloudFormation template reference; Amazon VPC user guide, "Managed prefix lists".
"""

from typing import Any

from tasks.plan.infrastructure import CloudFormation
from tasks.plan.plan import Plan
from tasks.plan.sites import Program, Site

# What each program listens on, for the plan's own addresses alone.
_PORTS: dict[Program, tuple[int, ...]] = {
    "postgres": (5432, 8008),
    "etcd": (2379, 2380),
    "gateway": (8080,),
    "pgbouncer": (6432,),
    "redis": (6379,),
    "sentinel": (26379,),
    "service": (8000,),
    "control": (4200,),
}
_SSH = 22
_BUCKET = "Bucket"


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
                "LaunchTemplate": {
                    "LaunchTemplateId": _ref("Template"),
                    "Version": _attribute("Template", "LatestVersionNumber"),
                },
                "InstanceType": wanted.types.get(host, wanted.instance_type),
                "PrivateIpAddress": str(each.address),
                "SubnetId": wanted.subnets.get(each.zone, next(iter(wanted.subnets.values()))),
                "Tags": _tags(plan, host),
            },
        }
        for host, each in hosts.items()
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{plan.service.name}: the hosts of {name}",
        "Parameters": {
            "MakeBucket": {"Type": "String", "AllowedValues": ["yes", "no"], "Default": "no"},
        },
        "Conditions": {"MakesBucket": {"Fn::Equals": [_ref("MakeBucket"), "yes"]}},
        "Resources": {
            "Addresses": _addresses(plan),
            "Group": _group(plan, site, wanted),
            "Role": _role(plan, site),
            "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [_ref("Role")]}},
            _BUCKET: _bucket(plan, site),
            "Template": _template(plan, wanted),
            **instances,
        },
        "Outputs": {_logical(host): {"Value": _ref(_logical(host))} for host in hosts},
    }


def _addresses(plan: Plan) -> dict[str, Any]:
    known = [
        *((str(address), "operator") for address in plan.access.operators),
        *((str(host.address), name) for site in plan.sites.values() for name, host in site.hosts.items()),
    ]
    properties = {
        "PrefixListName": f"{plan.service.name}-hosts",
        "AddressFamily": "IPv4",
        "MaxEntries": len(known),
        "Entries": [{"Cidr": f"{address}/32", "Description": name} for address, name in known],
    }
    return {"Type": "AWS::EC2::PrefixList", "Properties": properties}


def _group(plan: Plan, site: Site, wanted: CloudFormation) -> dict[str, Any]:
    programs = {program for host in site.hosts.values() for program in host.runs}
    known = [port for program in programs for port in _PORTS.get(program, ())]
    services = [each.port for each in plan.services.values()] if "service" in programs else []
    ports = sorted({_SSH, *known, *services})
    rules = [
        {
            "IpProtocol": "tcp",
            "FromPort": port,
            "ToPort": port,
            "SourcePrefixListId": _attribute("Addresses", "PrefixListId"),
            "Description": "the hosts and operators of the plan",
        }
        for port in ports
    ]
    properties = {
        "GroupDescription": f"{plan.service.name}: ports and addresses of the plan",
        "VpcId": wanted.network,
        "SecurityGroupIngress": rules,
    }
    return {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}


def _role(plan: Plan, site: Site) -> dict[str, Any]:
    others = [each.storage.bucket for each in plan.sites.values() if each is not site]
    read = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
    allowed = [
        _allow([*read, "s3:PutObject", "s3:DeleteObject"], [site.storage.bucket]),
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
    properties: dict[str, Any] = {
        "BucketName": site.storage.bucket,
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        ),
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        "ObjectLockEnabled": True,
        "Tags": _tags(plan, site.storage.bucket),
    }
    if lock is not None:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": lock.days}}
        properties["ObjectLockConfiguration"] = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    return {
        "Type": "AWS::S3::Bucket",
        "Condition": "MakesBucket",
        # A stack that goes takes no backup along.
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def _template(plan: Plan, wanted: CloudFormation) -> dict[str, Any]:
    disk = {"VolumeSize": wanted.volume_gigabytes, "VolumeType": "gp3", "Encrypted": True}
    data = {
        "ImageId": wanted.image,
        "SecurityGroupIds": [_attribute("Group", "GroupId")],
        "IamInstanceProfile": {"Arn": _attribute("Profile", "Arn")},
        "MetadataOptions": {"HttpTokens": "required"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": disk}],
    }
    properties = {"LaunchTemplateName": f"{plan.service.name}-host", "LaunchTemplateData": data}
    return {"Type": "AWS::EC2::LaunchTemplate", "Properties": properties}


def _tags(plan: Plan, name: str) -> list[dict[str, str]]:
    return [{"Key": "Name", "Value": name}, {"Key": "service", "Value": plan.service.name}]


def _logical(host: str) -> str:
    """A logical id: letters and digits alone."""
    return "".join(part.title() for part in host.split("-"))


def _ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def _attribute(name: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}
