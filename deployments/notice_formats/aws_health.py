"""AWS Health through EventBridge, as it is or in an SNS envelope.

https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html

An open issue asks for something where a whole region lacks what the servers stand on: the event's code ends
in OPERATIONAL_ISSUE (one instance's troubles have other codes) and its service is one of SERVICES. The sender
is known by its token, as every sender is; SNS's own signature is not looked at.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, Json

from deployments.notice_formats.notice import CamelForm, Form, Notice, read, words
from tasks.errors import Refused
from tasks.plan.plan import Plan

NAME = "aws-health"
SERVICES = frozenset({"EC2", "EBS", "VPC", "INTERNETCONNECTIVITY", "MULTIPLE_SERVICES"})
_HINT = "let an EventBridge API destination send here: it needs no subscription"


def _http_date(value: Any) -> datetime:
    """Parse "Wed, 15 Feb 2023 22:07:07 GMT"."""
    try:
        return parsedate_to_datetime(str(value))
    except (ValueError, OverflowError):
        raise ValueError("not a date such as 'Wed, 15 Feb 2023 22:07:07 GMT'") from None


class _Description(CamelForm):
    latest_description: str = ""


class _Detail(CamelForm):
    event_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:health:[a-z0-9-]*:")]
    service: str
    event_type_code: str
    event_type_category: str
    status_code: str
    start_time: Annotated[AwareDatetime, BeforeValidator(_http_date)]
    event_region: str = ""
    event_description: tuple[_Description, ...] = ()

    @property
    def region(self) -> str:
        """The impacted region; the event's own `region` is where it was delivered."""
        return self.event_region or self.event_arn.split(":")[3]

    @property
    def asks(self) -> bool:
        """Whether it is an open failure of what the servers stand on."""
        is_issue = self.event_type_category == "issue" and self.event_type_code.endswith("_OPERATIONAL_ISSUE")
        return is_issue and self.status_code == "open" and self.service in SERVICES


class _Event(Form):
    source: Literal["aws.health"]
    detail_type: Literal["AWS Health Event", "AWS Health Abuse Event"] = Field(alias="detail-type")
    detail: dict[str, Any]


class _Envelope(Form):
    kind: str = Field(alias="Type")
    topic: str = Field(alias="TopicArn")


class _Delivery(Form):
    message: Json[Any] = Field(alias="Message")


def parse(body: Any, plan: Plan) -> list[Notice]:
    """Read one event.

    Raises:
        Refused: it is no AWS Health event, or SNS asks to confirm a subscription.
    """
    event = read(_Event, _unwrapped(body))
    if event.detail_type == "AWS Health Abuse Event":
        return []
    detail = read(_Detail, event.detail)
    if not detail.asks or detail.region not in plan.sites:
        return []
    said = " ".join(each.latest_description for each in detail.event_description)
    reason = words(f"AWS Health: {detail.event_type_code} in {detail.region}: {said}")
    return [
        Notice(detail.region, reason, detail.start_time, detail.event_type_category, NAME, detail.event_arn)
    ]


def _unwrapped(body: Any) -> Any:
    if not isinstance(body, dict) or "TopicArn" not in body:
        return body
    kind = read(_Envelope, body).kind
    if kind != "Notification":
        raise Refused(f"SNS's {words(kind, 40)} is not answered: nothing here follows a link", hint=_HINT)
    return read(_Delivery, body).message
