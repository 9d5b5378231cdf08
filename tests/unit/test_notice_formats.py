"""Each format: what asks for a response, what asks for nothing, what is refused; and no other outcome."""

import copy
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.notice_formats import FORMATS
from deployments.notice_formats.notice import Notice, admitted, words
from tasks.errors import Refused
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
AZURE = PLAN.model_copy(
    update={"sites": {"eastus": PLAN.sites["us-east-1"], "west-us-2": PLAN.sites["us-west-2"]}}
)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=5)

PLAIN = {
    "site": "us-east-1",
    "reason": "the provider's status page is red",
    "detected_at": "2026-11-25T11:55:00Z",
    "key": "ticket-17",
}
ALERT = {
    "status": "firing",
    "labels": {"alertname": "RegionDown", "disaster": "true", "severity": "critical", "site": "us-east-1"},
    "annotations": {"summary": "nothing answers"},
    "startsAt": "2026-11-25T11:55:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "c2fbd5a5bd47a05a",
}
ALERTMANAGER = {
    "version": "4",
    "groupKey": '{}/{disaster="true"}:{site="us-east-1"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "notices",
    "groupLabels": {"site": "us-east-1"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example",
    "alerts": [ALERT],
}
# After the schema's own example of a public event.
AWS = {
    "version": "0",
    "id": "fd9d4512-1eb0-50f6-0491-d016ae56aef0",
    "detail-type": "AWS Health Event",
    "source": "aws.health",
    "account": "123456789012",
    "time": "2026-11-25T11:56:10Z",
    "region": "us-west-2",
    "resources": [],
    "detail": {
        "eventArn": "arn:aws:health:us-east-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/A_B",
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_OPERATIONAL_ISSUE",
        "eventTypeCategory": "issue",
        "eventScopeCode": "PUBLIC",
        "communicationId": "01b0993207d81a09dcd552ebd1e633e36cf1f09a-1",
        "startTime": "Wed, 25 Nov 2026 11:55:00 GMT",
        "lastUpdatedTime": "Wed, 25 Nov 2026 11:55:00 GMT",
        "statusCode": "open",
        "eventRegion": "us-east-1",
        "eventDescription": [{"latestDescription": "Increased\nAPI error rates.", "language": "en_US"}],
        "page": "1",
        "totalPages": "1",
        "affectedAccount": "123456789012",
    },
}
IMPACTED = [
    {
        "ImpactedRegions": [{"RegionName": "East US"}, {"RegionName": "Norway"}],
        "ServiceName": "Virtual Machines",
    },
    {"ImpactedRegions": [{"RegionName": "West US 2"}], "ServiceName": "Cognitive Services"},
]
PROPERTIES = {
    "title": "Virtual Machines - East US",
    "service": "Virtual Machines",
    "region": "East US",
    "incidentType": "Incident",
    "trackingId": "0NIH-U2O",
    "impactStartTime": "2026-11-25T11:55:00.0000000Z",
    "impactedServices": json.dumps(IMPACTED),
    "stage": "Active",
    "communicationId": "11223344556677",
    "isHIR": "false",
    "isSynthetic": "False",
}
AZURE_ACTIVITY = {
    "schemaId": "Microsoft.Insights/activityLogs",
    "data": {
        "status": "Activated",
        "context": {
            "activityLog": {
                "eventSource": "ServiceHealth",
                "level": "Warning",
                "operationName": "Microsoft.ServiceHealth/incident/action",
                "properties": PROPERTIES,
                "status": "Active",
            }
        },
        "properties": {},
    },
}
AZURE_COMMON = {
    "schemaId": "azureMonitorCommonAlertSchema",
    "data": {
        "essentials": {
            "alertRule": "test-ServiceHealthAlertRule",
            "severity": "Sev4",
            "signalType": "Activity Log",
            "monitorCondition": "Fired",
            "monitoringService": "ServiceHealth",
            "firedDateTime": "2026-11-25T11:56:00Z",
        },
        "alertContext": {"eventSource": 2, "level": 3, "properties": PROPERTIES, "status": "Active"},
    },
}
GOOGLE = {
    "version": "1.2",
    "incident": {
        "incident_id": "0.lj2va6zdkemq",
        "scoping_project_id": "ours",
        "started_at": int(BEGAN.timestamp()),
        "ended_at": None,
        "state": "open",
        "summary": "Log match condition fired",
        "policy_name": "us-east-1 is out",
        "severity": "Critical",
        "policy_user_labels": {"region": "us-east-1"},
        "resource": {"type": "servicehealth.googleapis.com/Event", "labels": {"event_id": "x"}},
    },
}
HEALTHY = {
    "plain": ("plain", PLAIN, PLAN),
    "alertmanager": ("alertmanager", ALERTMANAGER, PLAN),
    "aws": ("aws-health", AWS, PLAN),
    "aws in an envelope": (
        "aws-health",
        {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "MessageId": "1", "Message": json.dumps(AWS)},
        PLAN,
    ),
    "azure": ("azure-health", AZURE_ACTIVITY, AZURE),
    "azure, common schema": ("azure-health", AZURE_COMMON, AZURE),
    "google": ("google-health", GOOGLE, PLAN),
}


def changed(body, path, value):
    """A copy of a body with another value at a path of keys and indexes."""
    body = copy.deepcopy(body)
    *parents, last = path
    inside = body
    for key in parents:
        inside = inside[key]
    inside[last] = value
    return body


def heard(name, body, plan=PLAN):
    return admitted(FORMATS[name](body, plan), NOW)


@pytest.mark.parametrize("case", HEALTHY)
def test_a_lost_site_is_understood(case):
    name, body, plan = HEALTHY[case]
    [notice] = heard(name, body, plan)
    assert notice.site == ("eastus" if plan is AZURE else "us-east-1")
    assert notice.detected_at.replace(microsecond=0) == BEGAN
    assert notice.detected_at.tzinfo is UTC
    assert notice.reason
    assert notice.idempotency_key.startswith(f"notice:{name}:{notice.site}:")
    assert notice.severity in notice.evidence
    again = admitted(FORMATS[name](json.loads(json.dumps(body)), plan), NOW + timedelta(hours=3))
    assert [each.idempotency_key for each in again] == [notice.idempotency_key]


def test_keys_are_the_senders_own():
    keys = {case: heard(*HEALTHY[case])[0].key for case in HEALTHY}
    assert keys["plain"] == "ticket-17"
    assert keys["alertmanager"].startswith("c2fbd5a5bd47a05a@2026-11-25T11:55:00")
    assert keys["aws"] == keys["aws in an envelope"] == AWS["detail"]["eventArn"]
    assert keys["azure"] == keys["azure, common schema"] == "0NIH-U2O"
    assert keys["google"] == "0.lj2va6zdkemq"


DETAIL, LOG, INCIDENT = ("detail",), ("data", "context", "activityLog"), ("incident",)
LABELS = ("alerts", 0, "labels")
# (format, the healthy body, where it is changed, to what)
ASKS_NOTHING = {
    "a resolved alert": ("alertmanager", ALERTMANAGER, ("alerts", 0, "status"), "resolved"),
    "an alert that is no disaster": ("alertmanager", ALERTMANAGER, (*LABELS, "disaster"), "false"),
    "another service's alert": ("alertmanager", ALERTMANAGER, (*LABELS, "service"), "billing"),
    "another region's alert": (
        "alertmanager",
        ALERTMANAGER,
        LABELS,
        {"disaster": "true", "region": "ap-south-1"},
    ),
    "an AWS event that has ended": ("aws-health", AWS, (*DETAIL, "statusCode"), "closed"),
    "an AWS maintenance": ("aws-health", AWS, (*DETAIL, "eventTypeCategory"), "scheduledChange"),
    "one instance's trouble": ("aws-health", AWS, (*DETAIL, "eventTypeCode"), "AWS_EC2_INSTANCE_ISSUE"),
    "another AWS service": ("aws-health", AWS, (*DETAIL, "service"), "CONNECT"),
    "another AWS region": ("aws-health", AWS, (*DETAIL, "eventRegion"), "ap-south-1"),
    "an AWS abuse event": ("aws-health", AWS, ("detail-type",), "AWS Health Abuse Event"),
    "an Azure incident that has ended": (
        "azure-health",
        AZURE_ACTIVITY,
        (*LOG, "properties", "stage"),
        "Resolved",
    ),
    "an Azure status that has ended": ("azure-health", AZURE_ACTIVITY, (*LOG, "status"), "Resolved"),
    "an Azure maintenance": (
        "azure-health",
        AZURE_ACTIVITY,
        (*LOG, "properties", "incidentType"),
        "Maintenance",
    ),
    "an Azure test": ("azure-health", AZURE_ACTIVITY, (*LOG, "properties", "isSynthetic"), "True"),
    "Azure's resource health": ("azure-health", AZURE_ACTIVITY, (*LOG, "eventSource"), "ResourceHealth"),
    "other Azure regions": (
        "azure-health",
        AZURE_ACTIVITY,
        (*LOG, "properties", "impactedServices"),
        json.dumps(IMPACTED[1:]),
    ),
    "an Azure alert that is over": (
        "azure-health",
        AZURE_COMMON,
        ("data", "essentials", "monitorCondition"),
        "Resolved",
    ),
    "Azure's metrics": (
        "azure-health",
        AZURE_COMMON,
        ("data", "essentials", "monitoringService"),
        "Platform",
    ),
    "a Google incident that is closed": ("google-health", GOOGLE, (*INCIDENT, "state"), "closed"),
    "another Google resource": ("google-health", GOOGLE, (*INCIDENT, "resource", "type"), "gce_instance"),
    "another Google region": (
        "google-health",
        GOOGLE,
        (*INCIDENT, "policy_user_labels", "region"),
        "us-east1",
    ),
    "Google's test": ("google-health", GOOGLE, ("version",), "test"),
}


@pytest.mark.parametrize("case", ASKS_NOTHING)
def test_what_is_understood_and_asks_for_nothing(case):
    name, body, path, value = ASKS_NOTHING[case]
    assert heard(name, changed(body, path, value), AZURE if name.startswith("azure") else PLAN) == []


ENVELOPE = HEALTHY["aws in an envelope"][1]
OLD = "2026-11-24T11:59:00Z"
# (format, body, words of the refusal)
REFUSED = {
    "an unknown site": ("plain", changed(PLAIN, ["site"], "mars"), "us-east-1, us-west-2, eu-west-1"),
    "no site": ("plain", {"reason": "x"}, "site: Field required"),
    "no reason": ("plain", changed(PLAIN, ["reason"], " \n\x00"), "gives no reason"),
    "a misspelt field": ("plain", {**PLAIN, "detectedAt": OLD}, "detectedAt: Extra"),
    "a moment without its zone": (
        "plain",
        changed(PLAIN, ["detected_at"], "2026-11-25T11:55:00"),
        "timezone",
    ),
    "the future": ("plain", changed(PLAIN, ["detected_at"], "2026-11-25T12:01:01Z"), "of the future"),
    "long ago": ("plain", changed(PLAIN, ["detected_at"], OLD), "older than 24 hours"),
    "the end of time": (
        "plain",
        changed(PLAIN, ["detected_at"], "9999-12-31T23:59:59-14:00"),
        "of the future",
    ),
    "the beginning of time": (
        "plain",
        changed(PLAIN, ["detected_at"], "0001-01-01T00:00:00+14:00"),
        "older than",
    ),
    "another version": (
        "alertmanager",
        changed(ALERTMANAGER, ["version"], "3"),
        "version: Input should be '4'",
    ),
    "an alert of an unknown site": (
        "alertmanager",
        changed(ALERTMANAGER, [*LABELS, "site"], "mars"),
        "us-west-2",
    ),
    "a disaster nowhere": (
        "alertmanager",
        changed(ALERTMANAGER, LABELS, {"disaster": "true"}),
        "names no site",
    ),
    "an old alert": ("alertmanager", changed(ALERTMANAGER, ["alerts", 0, "startsAt"], OLD), "older than"),
    "a subscription": ("aws-health", {**ENVELOPE, "Type": "SubscriptionConfirmation"}, "API destination"),
    "an envelope of nothing": ("aws-health", {**ENVELOPE, "Message": "hello"}, "Message: Invalid JSON"),
    "another source": (
        "aws-health",
        changed(AWS, ["source"], "aws.ec2"),
        "source: Input should be 'aws.health'",
    ),
    "an AWS date": ("aws-health", changed(AWS, ["detail", "startTime"], "2026-11-25"), "not a date such as"),
    "an AWS event without its name": ("aws-health", changed(AWS, ["detail", "eventArn"], "x"), "eventArn"),
    "another schema": ("azure-health", changed(AZURE_COMMON, ["schemaId"], "x"), "schemaId"),
    "Azure's services as text": (
        "azure-health",
        changed(AZURE_ACTIVITY, [*LOG, "properties", "impactedServices"], "[{"),
        "impactedServices: Invalid JSON",
    ),
    "a policy without a label": (
        "google-health",
        changed(GOOGLE, [*INCIDENT, "policy_user_labels"], None),
        "names no site",
    ),
    "a policy of an unknown site": (
        "google-health",
        changed(GOOGLE, [*INCIDENT, "policy_user_labels"], {"site": "mars"}),
        "us-west-2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why(case):
    name, body, says = REFUSED[case]
    with pytest.raises(Refused) as refusal:
        heard(name, body, AZURE if name.startswith("azure") else PLAN)
    assert says in str(refusal.value)


def test_a_refusal_repeats_nothing_that_was_sent():
    for name in FORMATS:
        with pytest.raises(Refused) as refusal:
            heard(
                name, {"schemaId": "hunter2", "site": ["hunter2"], "version": "hunter2", "source": "hunter2"}
            )
        assert "hunter2" not in str(refusal.value)


def alerts(*changes):
    return {**ALERTMANAGER, "alerts": [{**ALERT, **change} for change in changes]}


def labelled(**labels):
    return {**ALERT["labels"], **labels}


def test_a_group_is_one_notice_a_site_of_its_first_alert():
    first = {"fingerprint": "b", "startsAt": "2026-11-25T11:40:00Z"}
    body = alerts({}, first, {"fingerprint": "a", "labels": labelled(site="us-west-2")}, {})
    notices = {notice.site: notice.key for notice in heard("alertmanager", body)}
    assert notices["us-east-1"].startswith("b@2026-11-25T11:40")
    assert notices["us-west-2"].startswith("a@")
    assert len(notices) == 2


def test_one_alert_stands_in_no_others_way():
    old = {"fingerprint": "o", "startsAt": OLD}
    nowhere = {"labels": labelled(site="mars")}
    [notice] = heard("alertmanager", alerts(nowhere, old, {}))
    assert notice.key.startswith(ALERT["fingerprint"])


def test_one_azure_incident_of_two_sites_is_two_runs():
    both = changed(IMPACTED, [1, "ServiceName"], "Network Infrastructure")
    body = changed(AZURE_ACTIVITY, [*LOG, "properties", "impactedServices"], json.dumps(both))
    notices = heard("azure-health", body, AZURE)
    assert {notice.site for notice in notices} == {"eastus", "west-us-2"}
    assert len({notice.idempotency_key for notice in notices}) == 2


def test_an_aws_event_without_its_region_is_where_its_name_says():
    detail = {key: value for key, value in AWS["detail"].items() if key != "eventRegion"}
    [notice] = heard("aws-health", {**AWS, "detail": detail})
    assert notice.site == "us-east-1"


def test_a_clock_that_is_a_little_ahead_is_ours():
    [notice] = heard("plain", changed(PLAIN, ["detected_at"], "2026-11-25T12:00:30Z"))
    assert notice.detected_at == NOW


def test_a_notice_without_key_and_moment_is_one_an_hour():
    bare = FORMATS["plain"]({"site": "us-east-1", "reason": "smoke"}, PLAN)
    keys = [admitted(bare, NOW + timedelta(minutes=age))[0].idempotency_key for age in (0, 59, 60)]
    assert keys[0] == keys[1] != keys[2]
    assert admitted(bare, NOW)[0].detected_at == NOW


def test_a_long_key_stays_one_of_its_own():
    keys = {
        heard("plain", changed(PLAIN, ["key"], "k" * 1500 + end))[0].idempotency_key
        for end in ("a", "b", "a")
    }
    assert len(keys) == 2
    assert all(len(key) < 300 for key in keys)


def test_text_is_one_printable_line():
    assert words("a\r\nb\t\x1b[31m\ud800c") == "a b [31m c"
    assert words("x" * 500) == "x" * 297 + "..."


def sound(name, body, plan):
    """Parse and admit: notices that can be sent on, or the documented refusal."""
    try:
        notices = heard(name, body, plan)
    except Refused as refusal:
        str(refusal).encode()
        return
    for notice in notices:
        assert isinstance(notice, Notice)
        assert notice.site in plan.sites
        sent = [notice.reason, notice.evidence, notice.idempotency_key, notice.detected_at.isoformat()]
        json.dumps(sent, ensure_ascii=False).encode()
        assert max(map(len, sent)) <= 300


ODD = (
    None, True, 0, -1, 10**400, 1e308, float("nan"), float("inf"), -(10**18), "", " ", "\ud800", "\x00",
    "9" * 5000, "[" * 5000, "null", "[]", '"', [], [[]], {}, [None], {"": None}, {"type": {}},
    "0001-01-01T00:00:00Z",
    "Mon, 9 Nov 99999999999999999999 9:9:9 GMT", "Thu, 01 Jan 0001 00:00:00 +2359", "é" * 3000,
)  # fmt: skip


def places(value, path=()):
    """Every place in a body, itself included."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in parts:
        yield from places(inside, (*path, key))


@pytest.mark.parametrize("case", HEALTHY)
def test_nothing_in_any_place_of_a_body_breaks_it(case):
    name, body, plan = HEALTHY[case]
    for path in places(body):
        for odd in ODD:
            sound(name, changed([body], (0, *path), odd)[0], plan)


def any_json(dice, keys, depth=5):
    kind = dice.randrange(4 if depth else 2)
    if kind == 2:
        return [any_json(dice, keys, depth - 1) for _ in range(dice.randrange(4))]
    if kind == 3:
        return {dice.choice(keys): any_json(dice, keys, depth - 1) for _ in range(dice.randrange(6))}
    return dice.choice(ODD) if kind else dice.choice(keys)


@pytest.mark.parametrize("name", FORMATS)
def test_arbitrary_json_is_understood_or_refused(name):
    bodies = [body for format_name, body, _ in HEALTHY.values() if format_name == name]
    known = {str(key) for body in bodies for path in places(body) for key in path}
    keys = [*sorted(known), "firing", "4", "1.2"]
    dice = random.Random(name)  # noqa: S311 -- the same bodies every time
    for _ in range(3000):
        sound(name, any_json(dice, keys), PLAN)
