"""A site's stack against a real HTTP server that speaks CloudFormation: made, changed, made anew, removed."""

import time
from pathlib import Path

import boto3
import pytest
import yaml
from moto_server import PAIR, moto_server

from infra.tree import write_all
from tasks.clients import cloudformation
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan

pytestmark = [pytest.mark.lab, pytest.mark.long]
ROOT = Path(__file__).parents[2]
SITE = "us-west-2"


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with moto_server(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def document(aws):
    """The shipped plan with a stack; each test has a name of its own for it."""
    ec2 = boto3.client("ec2", SITE, endpoint_url=aws, **PAIR)
    network = ec2.create_vpc(CidrBlock="127.2.0.0/16")["Vpc"]["VpcId"]
    subnets = {
        f"us-west-2{zone}": ec2.create_subnet(VpcId=network, CidrBlock=f"127.2.{n}.0/24")["Subnet"][
            "SubnetId"
        ]
        for n, zone in ((1, "a"), (2, "b"))
    }
    image = ec2.describe_images()["Images"][0]["ImageId"]
    found = yaml.safe_load((ROOT / "deployments/plan.yaml").read_text())
    found["recovery"]["infrastructure"] = {
        "timeout": "2 minutes",
        "cloudformation": {
            "stack": f"naas-{time.time_ns()}",
            "template": "rendered/cloudformation/recovery-{site}.yaml",
            "credentials": "file:provisioner.json", "endpoint": aws, "image": image, "network": network,
            "subnets": subnets, "instance_type": "m5.large",
        },
    }  # fmt: skip
    return found


def planned(tmp_path, document, *, render=True):
    (tmp_path / "provisioner.json").write_text('{"access_key": "a", "secret_key": "b"}')
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    plan = load_plan(file)
    if render:
        write_all(plan, tmp_path / "rendered", secrets=False)
    return plan


def instances(aws, outputs):
    ec2 = boto3.client("ec2", SITE, endpoint_url=aws, **PAIR)
    told = ec2.describe_instances(InstanceIds=list(outputs.values()))["Reservations"]
    return {each["InstanceId"]: each for reservation in told for each in reservation["Instances"]}


def test_a_stack_is_made_and_again_is_no_change_and_a_change_is_made(aws, document, tmp_path, monkeypatch):
    monkeypatch.setattr(cloudformation, "_has_bucket", lambda *_: True)
    plan = planned(tmp_path, document)
    outputs = cloudformation.activate(plan, SITE, timeout=120)
    hosts = {name for name, host in plan.sites[SITE].hosts.items() if host.runs != ("storage",)}
    assert len(outputs) == len(hosts)
    running = instances(aws, outputs)
    leader = running[outputs["PostgresDr1"]]
    assert (leader["PrivateIpAddress"], leader["InstanceType"]) == ("127.2.1.11", "m5.large")
    assert cloudformation.activate(plan, SITE, timeout=120) == outputs
    document["recovery"]["infrastructure"]["cloudformation"]["volume_gigabytes"] = 200
    cloudformation.activate(planned(tmp_path, document), SITE, timeout=120)
    client = boto3.client("cloudformation", SITE, endpoint_url=aws, **PAIR)
    name = cloudformation.name_of(plan, SITE)
    body = client.get_template(StackName=name)["TemplateBody"]
    assert "VolumeSize: 200" in str(body) or "'VolumeSize': 200" in str(body)
    cloudformation.delete(plan, SITE, timeout=120)
    [ended] = {
        each["StackStatus"] for each in client.list_stacks()["StackSummaries"] if each["StackName"] == name
    }
    assert ended == "DELETE_COMPLETE"
    cloudformation.delete(plan, SITE, timeout=120)


def test_a_stack_makes_the_buckets_that_were_not_there(aws, document, tmp_path, monkeypatch):
    monkeypatch.setattr(cloudformation, "_has_bucket", lambda _, __, bucket: bucket == "naas-us-west-2")
    cloudformation.activate(planned(tmp_path, document), SITE, timeout=120)
    client = boto3.client("s3", SITE, endpoint_url=aws, **PAIR)
    made = {each["Name"] for each in client.list_buckets()["Buckets"]}
    assert made == {"naas-us-west-2-status"}


def test_a_template_that_was_not_rendered_is_refused(document, tmp_path):
    with pytest.raises(Refused, match="was not rendered"):
        cloudformation.activate(planned(tmp_path, document, render=False), SITE, timeout=5)


def test_a_template_that_cannot_be_made_is_told_in_cloudformations_words(document, tmp_path, monkeypatch):
    monkeypatch.setattr(cloudformation, "_has_bucket", lambda *_: True)
    plan = planned(tmp_path, document)
    file = tmp_path / "rendered/cloudformation/recovery-us-west-2.yaml"
    template = yaml.safe_load(file.read_text())
    template["Parameters"]["Owner"] = {"Type": "String"}
    file.write_text(yaml.safe_dump(template))
    with pytest.raises(Permanent, match="Owner"):
        cloudformation.activate(plan, SITE, timeout=20)


def test_a_server_that_does_not_answer_is_passing(document, tmp_path):
    document["recovery"]["infrastructure"]["cloudformation"]["endpoint"] = "http://127.0.0.1:9"
    with pytest.raises(Transient, match="does not answer"):
        cloudformation.activate(planned(tmp_path, document), SITE, timeout=5)
