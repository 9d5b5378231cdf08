"""A stack that is activated again: what it was left in, whose words it ends with, what passes by itself."""

import pytest
from botocore.exceptions import ClientError

from tasks.clients import cloudformation
from tasks.errors import Permanent, Transient

NAME = "naas-us-west-2"


def refusal(act, code="ValidationError", message="", status=400):
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, act)


class Amazon:
    """One stack: its status, what an update of it comes to, and its events, the newest first."""

    def __init__(self, status, update=None, after=None, events=()):
        self.status, self.update, self.after, self.events = status, update, after, events

    def describe_stacks(self, **_):
        if self.status is None:
            raise refusal("DescribeStacks", message=f"Stack with id {NAME} does not exist")
        return {"Stacks": [{"StackStatus": self.status, "Outputs": []}]}

    def update_stack(self, **_):
        if self.update:
            raise self.update
        self.status = self.after

    def create_stack(self, **_):
        if self.status:
            raise refusal("CreateStack", "AlreadyExistsException")
        self.status = "CREATE_COMPLETE"

    def delete_stack(self, **_):
        self.status = None

    def describe_stack_events(self, **_):
        keys = ("LogicalResourceId", "ResourceStatus")
        told = [dict(zip(keys, it, strict=True)) for it in self.events]
        return {"StackEvents": [it | {"ResourceStatusReason": f"why {it[keys[0]]}"} for it in told]}


NOTHING = refusal("UpdateStack", message="No updates are to be performed.")


def activated(monkeypatch, amazon):
    for name, given in (("_client", amazon), ("name_of", NAME), ("_template", "{}"), ("_parameters", [])):
        monkeypatch.setattr(cloudformation, name, lambda *_, given=given: given)
    return cloudformation.activate(None, "us-west-2", timeout=1)


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_that_is_as_wanted_is_good_whatever_failed_before(monkeypatch, status):
    assert activated(monkeypatch, Amazon(status, NOTHING)) == {}


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_was_never_made_is_made_anew(monkeypatch, status):
    amazon = Amazon(status, refusal("UpdateStack", message=f"is in {status} state and can not be updated"))
    assert activated(monkeypatch, amazon) == {}
    assert amazon.status == "CREATE_COMPLETE"


def test_an_update_that_was_rolled_back_is_no_success_and_tells_its_own_reasons(monkeypatch):
    events = [
        (NAME, "UPDATE_ROLLBACK_COMPLETE"), ("PostgresDr1", "UPDATE_FAILED"), (NAME, "UPDATE_IN_PROGRESS"),
        ("LongAgo", "CREATE_FAILED"), (NAME, "CREATE_IN_PROGRESS"),
    ]  # fmt: skip
    amazon = Amazon("UPDATE_COMPLETE", after="UPDATE_ROLLBACK_COMPLETE", events=events)
    with pytest.raises(Permanent, match="failed") as failed:
        activated(monkeypatch, amazon)
    assert failed.value.detail == "PostgresDr1: why PostgresDr1"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("UpdateStack", "503", status=503), Transient),
        (refusal("UpdateStack", "Throttling"), Transient),
        (refusal("UpdateStack", "AccessDenied", status=403), Permanent),
    ],
)
def test_what_passes_by_itself_is_tried_again(monkeypatch, error, kind):
    with pytest.raises(kind) as raised:
        activated(monkeypatch, Amazon("CREATE_COMPLETE", error))
    assert type(raised.value) is kind


def test_a_bucket_of_a_silent_store_is_not_taken_for_missing(monkeypatch):
    def silent(*_):
        raise Transient("the store does not answer")

    monkeypatch.setattr(cloudformation, "bucket_exists", silent)
    with pytest.raises(Transient):
        cloudformation._has_bucket(None, "us-west-2", "naas-us-west-2")
