"""Google Cloud's Personalized Service Health through a webhook channel of Cloud Monitoring, version 1.2.

https://cloud.google.com/monitoring/support/notification-options#webhooks
https://cloud.google.com/service-health/docs/example-alerting-policies

The channel does not carry the event's locations, so there is one log-based alerting policy a region, with the
user label `region` (or `site`, the plan's name) and a condition on

    resource.type="servicehealth.googleapis.com/Event" AND jsonPayload.category="INCIDENT"
    AND jsonPayload.detailedState="CONFIRMED" AND jsonPayload.relevance!="NOT_IMPACTED"
    AND jsonPayload.impactedLocations=~"REGION"

and on the products that the servers stand on. What was opened by something else is not a provider's outage.
"""

from typing import Annotated, Any, Literal

from pydantic import AliasPath, AwareDatetime, Field

from deployments.notice_formats.notice import Form, Notice, labelled_site, read, words
from tasks.plan.plan import Plan

NAME = "google-health"
RESOURCE = "servicehealth.googleapis.com/Event"


class _Incident(Form):
    incident_id: Annotated[str, Field(min_length=1)]
    state: str
    started_at: AwareDatetime
    summary: str | None = None
    policy_name: str | None = None
    severity: str | None = None
    policy_user_labels: dict[str, str] | None = None
    kind: str = Field("", validation_alias=AliasPath("resource", "type"))


class _Webhook(Form):
    # "test" is what the console's button sends.
    version: Literal["1.2", "test"]
    incident: _Incident


def parse(body: Any, plan: Plan) -> list[Notice]:
    """Read one alert.

    Raises:
        Refused: it is no such webhook, or its policy's labels name no site of the plan.
    """
    webhook = read(_Webhook, body)
    incident = webhook.incident
    if webhook.version == "test" or incident.state != "open" or incident.kind != RESOURCE:
        return []
    site = labelled_site(plan, incident.policy_user_labels or {})
    if site is None:
        return []
    reason = words(f"Google Cloud Service Health: {incident.policy_name}: {incident.summary}")
    severity = words(incident.severity or "unknown", 20)
    return [Notice(site, reason, incident.started_at, severity, NAME, incident.incident_id)]
