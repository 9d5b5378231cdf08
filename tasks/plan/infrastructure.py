"""How the hosts of a standby site come to be there when they are not: a command or a CloudFormation stack."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.plan.availability import InstanceType
from tasks.plan.base import Block
from tasks.plan.values import Duration, HttpUrl, Integer, Name, SecretRef, SiteText, matching, refusal

Image = Annotated[str, matching(r"ami-[0-9a-f]{8,17}", "an image such as 'ami-0123456789abcdef0'")]
Subnet = Annotated[str, matching(r"subnet-[0-9a-f]{8,17}", "a subnet such as 'subnet-0123456789abcdef0'")]
Network = Annotated[str, matching(r"vpc-[0-9a-f]{8,17}", "a network such as 'vpc-0123456789abcdef0'")]


class CloudFormation(Block):
    """What the rendered stack cannot know from the rest of the plan.

    Its instances are the site's hosts: each with its own address, in the subnet of its zone. `image` has the
    programs; `types` says how large a host is by its name, where it is not `instance_type`. `template` is the
    file that `dr render` wrote, beside the plan; `endpoint` where CloudFormation is not Amazon's own.
    """

    stack: Name
    template: SiteText
    credentials: SecretRef
    endpoint: HttpUrl | None = None
    image: Image
    network: Network
    subnets: Annotated[dict[Name, Subnet], Field(min_length=1)]
    instance_type: InstanceType
    types: dict[Name, InstanceType] = Field(default_factory=dict)
    volume_gigabytes: Annotated[Integer, Field(ge=8, le=16384)] = 100


class Infrastructure(Block):
    """One way to activate a site's infrastructure; it must be safe to ask for what is there already.

    `command` is run where the flow runs; `timeout` is for all of it, until every host answers.
    """

    command: SiteText | None = None
    cloudformation: CloudFormation | None = None
    timeout: Duration

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.cloudformation is None):
            raise refusal("not one way to activate infrastructure", "either command or cloudformation")
        return self
