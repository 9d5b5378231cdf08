"""The stack of a standby site: the plan's hosts, ports, addresses and buckets, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.platform.render import platform_files
from infra.tree import write_all
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
AMAZON_TAKES = 60
"""Rules in one group, unless more were asked for."""
STACK = {
    "stack": "naas-standby",
    "template": "rendered/cloudformation/recovery-{site}.yaml",
    "credentials": "file:secrets/provisioner.json",
    "image": "ami-0123456789abcdef0",
    "network": "vpc-0123456789abcdef0",
    "subnets": {"us-west-2a": "subnet-0aaaaaaaaaaaaaaa1", "us-west-2b": "subnet-0aaaaaaaaaaaaaaa2"},
    "instance_type": "r5.xlarge",
    "types": {"postgres-dr-1": "r5.2xlarge"},
}


@pytest.fixture
def plan(tmp_path):
    document = yaml.safe_load((ROOT / "deployments/plan.yaml").read_text())
    document["recovery"]["infrastructure"] = {"cloudformation": STACK, "timeout": "30 minutes"}
    document["access"]["operators"] = ["192.0.2.7"]
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_plan(file)


@pytest.fixture
def stack(plan):
    return yaml.safe_load(platform_files(plan)["cloudformation/recovery-us-west-2.yaml"])


def of_type(stack, kind):
    return [each["Properties"] for each in stack["Resources"].values() if each["Type"] == f"AWS::{kind}"]


def test_every_host_but_a_store_is_an_instance_at_its_own_address_in_its_zones_subnet(plan, stack):
    instances = {
        each["PrivateIpAddress"]: (each["InstanceType"], each["SubnetId"])
        for each in of_type(stack, "EC2::Instance")
    }
    hosts = plan.sites["us-west-2"].hosts
    assert set(instances) == {str(h.address) for h in hosts.values() if h.runs != ("storage",)}
    assert instances["127.2.1.11"] == ("r5.2xlarge", "subnet-0aaaaaaaaaaaaaaa1")
    assert instances["127.2.2.11"] == ("r5.xlarge", "subnet-0aaaaaaaaaaaaaaa2")


def test_the_hosts_are_open_to_each_other_and_to_the_plans_other_addresses_alone(plan, stack):
    (group,) = of_type(stack, "EC2::SecurityGroup")
    others = [site for name, site in plan.sites.items() if name != "us-west-2"]
    addresses = {str(host.address) for site in others for host in site.hosts.values()}
    assert {rule["CidrIp"] for rule in group["SecurityGroupIngress"]} == {
        f"{address}/32" for address in (*addresses, "192.0.2.7")
    }
    (inside,) = of_type(stack, "EC2::SecurityGroupIngress")
    assert inside["GroupId"] == inside["SourceSecurityGroupId"] == {"Fn::GetAtt": ["Group", "GroupId"]}


def test_a_group_has_no_more_rules_than_amazon_takes(stack):
    (group,) = of_type(stack, "EC2::SecurityGroup")
    assert len(group["SecurityGroupIngress"]) + 1 <= AMAZON_TAKES


def test_the_role_writes_its_own_bucket_and_reads_the_others(stack):
    (role,) = of_type(stack, "IAM::Role")
    own, others = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert "s3:PutObject" in own["Action"]
    assert all("naas-us-west-2" in each["Fn::Sub"] for each in own["Resource"])
    assert not any(action.startswith(("s3:Put", "s3:Delete")) for action in others["Action"])
    assert not any("naas-us-west-2" in each["Fn::Sub"] for each in others["Resource"])


def test_the_bucket_is_made_where_asked_for_locked_and_never_taken_along(stack):
    bucket = stack["Resources"]["Bucket"]
    assert bucket["Condition"] == "MakesBucket"
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert bucket["Properties"]["ObjectLockEnabled"] is True


def test_the_status_bucket_is_read_by_anybody_through_its_policy_alone(stack):
    found = stack["Resources"]["StatusBucket"]
    assert (found["Condition"], found["DeletionPolicy"]) == ("MakesStatusBucket", "Retain")
    assert found["Properties"]["BucketName"] == "naas-us-west-2-status"
    assert stack["Resources"]["StatusBucketPolicy"]["DeletionPolicy"] == "Retain"
    (policy,) = of_type(stack, "S3::BucketPolicy")
    assert policy["Bucket"] == {"Ref": "StatusBucket"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Principal"]) == ("s3:GetObject", "*")
    assert statement["Resource"] == {"Fn::Sub": "${StatusBucket.Arn}/*"}
    blocked = found["Properties"]["PublicAccessBlockConfiguration"]
    assert {name for name, is_so in blocked.items() if is_so} == {"BlockPublicAcls", "IgnorePublicAcls"}
    private = stack["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
    assert set(private.values()) == {True}


def test_without_a_status_bucket_there_is_none_and_nothing_is_public(plan):
    site = plan.sites["us-west-2"]
    site = site.model_copy(update={"storage": site.storage.model_copy(update={"status_bucket": None})})
    changed = plan.model_copy(update={"sites": {**plan.sites, "us-west-2": site}})
    stack = yaml.safe_load(platform_files(changed)["cloudformation/recovery-us-west-2.yaml"])
    assert list(stack["Parameters"]) == ["MakeBucket"]
    assert [each["BucketName"] for each in of_type(stack, "S3::Bucket")] == ["naas-us-west-2"]
    assert of_type(stack, "S3::BucketPolicy") == []


def test_only_a_site_that_can_take_over_has_a_stack_and_only_where_the_plan_asks(plan):
    stacks = [path for path in platform_files(plan) if "recovery-" in path]
    assert stacks == ["cloudformation/recovery-us-east-1.yaml", "cloudformation/recovery-us-west-2.yaml"]
    shipped = load_plan(ROOT / "deployments/plan.yaml")
    assert not [path for path in platform_files(shipped) if "recovery-" in path]


def test_cfn_lint_finds_nothing_and_finds_a_planted_mistake(plan, tmp_path):
    linter = Path(sys.executable).with_name("cfn-lint")
    write_all(plan, tmp_path / "rendered", secrets=False)
    stack = tmp_path / "rendered/cloudformation/recovery-us-west-2.yaml"
    assert lint(linter, stack) == ""
    stack.write_text(stack.read_text().replace("GroupDescription", "GroupDescriptio"))
    assert "GroupDescriptio" in lint(linter, stack)


def lint(linter, stack):
    argv = [str(linter), "--regions", "us-west-2", "--", str(stack)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False).stdout
