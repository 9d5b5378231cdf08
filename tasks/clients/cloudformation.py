"""AWS CloudFormation: a site's stack made or updated, its outputs, and its end.

Source: AWS CloudFormation API reference, CreateStack, UpdateStack, DescribeStacks, DeleteStack.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tasks.clients.buckets import bucket_exists
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.infrastructure import CloudFormation
from tasks.plan.plan import Plan

_POLL_S = 2.0
_PASSING = {"Throttling", "RequestLimitExceeded", "ServiceUnavailable", "InternalFailure"}
_NOTHING = "No updates are to be performed"
_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
# As it was before an update that failed: what is wanted, where nothing differs from that.
_AS_BEFORE = {*_GOOD, "UPDATE_ROLLBACK_COMPLETE"}
# What a change set leaves that nobody executed: nothing goes on by itself.
_REVIEWED = "REVIEW_IN_PROGRESS"
_NEVER_MADE = {"ROLLBACK_COMPLETE", _REVIEWED}
_BEGUN = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}


def name_of(plan: Plan, site: str) -> str:
    """The name of a site's stack."""
    return f"{_wanted(plan).stack}-{site}"


def activate(plan: Plan, site: str, *, timeout: float) -> dict[str, str]:
    """Make a site's stack what its template says; again is no change.

    Args:
        plan: the plan.
        site: whose stack, in the region of its name.
        timeout: seconds until the stack must be complete.

    Returns:
        its outputs.

    Raises:
        Refused: the template was not rendered.
        Permanent: CloudFormation refuses, or the stack fails; its own words are the detail.
        Transient: it does not answer, or the time is over.
    """
    client, name = _client(plan, site), name_of(plan, site)
    deadline = time.monotonic() + timeout
    with _told(name):
        stack = _settled(client, name, deadline)
        if stack and stack["StackStatus"] in _NEVER_MADE:
            # Such a stack can only be made anew; it has no resources.
            delete(plan, site, timeout=deadline - time.monotonic())
            stack = None
        known = {each["ParameterKey"]: each["ParameterValue"] for each in (stack or {}).get("Parameters", ())}
        wanted = {
            "StackName": name,
            "TemplateBody": _template(plan, site),
            "Parameters": _parameters(plan, site, known),
            "Capabilities": ["CAPABILITY_IAM"],
        }
        good = _GOOD
        if stack is None:
            client.create_stack(**wanted)
        elif not _updated(client, wanted):
            good = _AS_BEFORE
        stack = _settled(client, name, deadline)
        if stack is None or stack["StackStatus"] not in good:
            raise Permanent(f"the stack {name} failed", _reasons(client, name))
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def delete(plan: Plan, site: str, *, timeout: float) -> None:
    """Remove a site's stack and wait for its end; its bucket stays.

    Raises:
        Permanent: CloudFormation refuses, or cannot.
        Transient: it does not answer, or the time is over.
    """
    client, name = _client(plan, site), name_of(plan, site)
    with _told(name):
        client.delete_stack(StackName=name)
        stack = _settled(client, name, time.monotonic() + timeout)
        if stack is not None:
            raise Permanent(f"the stack {name} cannot be removed", _reasons(client, name))


def _updated(client: Any, wanted: dict[str, Any]) -> bool:
    """Begin an update; False where there is nothing to update."""
    try:
        client.update_stack(**wanted)
    except ClientError as error:
        if _NOTHING not in str(error):
            raise
        return False
    return True


def _settled(client: Any, name: str, until: float) -> dict[str, Any] | None:
    """The stack, once nothing is under way with it; None where there is none."""
    while True:
        stack = _stack(client, name)
        if stack is None or not _moves(stack["StackStatus"]):
            return stack
        _wait(name, stack["StackStatus"], until)


def _moves(status: str) -> bool:
    return status.endswith("_IN_PROGRESS") and status != _REVIEWED


def _stack(client: Any, name: str) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def _reasons(client: Any, name: str) -> str:
    """What failed since the stack was last made, changed or removed, the first failure last."""
    events = client.describe_stack_events(StackName=name)["StackEvents"]  # the newest first
    began = (n for n, each in enumerate(events) if _begins(each, name))
    of_now = events[: next(began, len(events))]
    failed = [each for each in of_now if each.get("ResourceStatus", "").endswith("_FAILED")]
    return "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed[-5:])


def _begins(event: Mapping[str, Any], name: str) -> bool:
    return event.get("LogicalResourceId") == name and event.get("ResourceStatus") in _BEGUN


def _wait(name: str, status: str, until: float) -> None:
    if time.monotonic() > until:
        raise Transient(f"the stack {name} is not done in time", status, "it goes on by itself: look again")
    time.sleep(_POLL_S)


def _template(plan: Plan, site: str) -> str:
    path = plan.folder / _wanted(plan).template.format(site=site)
    if not path.exists():
        raise Refused(f"{path} was not rendered", hint="`dr render DIR` writes it, where the plan says")
    return path.read_text(encoding="utf-8")


def _parameters(plan: Plan, site: str, known: Mapping[str, str]) -> list[dict[str, str]]:
    """Whether the stack makes each of the site's buckets: those that were not there before it."""
    storage = plan.sites[site].storage
    buckets = {"MakeBucket": storage.bucket, "MakeStatusBucket": storage.status_bucket}
    return [
        {
            "ParameterKey": key,
            "ParameterValue": known.get(key) or ("no" if _has_bucket(plan, site, bucket) else "yes"),
        }
        for key, bucket in buckets.items()
        if bucket
    ]


def _has_bucket(plan: Plan, site: str, bucket: str) -> bool:
    """Whether a bucket is there; one that we may not see is not ours.

    Raises:
        Transient: its store does not answer: a stack that makes a bucket which is there fails as a whole.
    """
    try:
        return bucket_exists(plan, site, bucket)
    except Permanent:
        return False


def _wanted(plan: Plan) -> CloudFormation:
    given = plan.recovery.infrastructure
    if given is None or given.cloudformation is None:
        raise Refused("the plan asks for no stack", hint="see recovery.infrastructure.cloudformation")
    return given.cloudformation


def _client(plan: Plan, site: str) -> Any:
    wanted = _wanted(plan)
    pair = plan.credentials(wanted.credentials)
    return boto3.client(
        "cloudformation",
        region_name=site,
        endpoint_url=wanted.endpoint,
        aws_access_key_id=pair.access_key,
        aws_secret_access_key=pair.secret_key,
        config=Config(connect_timeout=3, read_timeout=30, retries={"total_max_attempts": 3}),
    )


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        passing = status >= 500 or error.response["Error"]["Code"] in _PASSING
        kind = Transient if passing else Permanent
        raise kind(f"CloudFormation refuses {error.operation_name} of {name}", str(error)) from error
    except BotoCoreError as error:
        raise Transient(f"CloudFormation does not answer for {name}", type(error).__name__) from error
