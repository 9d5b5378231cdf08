"""Amazon Route 53 moves the users, as their resolvers ask anew: by weighted or failover record sets.

Its changes are made through a control plane that stands in us-east-1 alone: while that region is gone,
answers go on but nothing can be changed.

Source: Amazon Route 53 API, ListResourceRecordSets, ChangeResourceRecordSets, GetChange; Route 53 developer
guide, "Values specific for weighted records", "Values specific for failover records".
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from tasks.clients.traffic.standing import Standing, standings
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.plan import Plan
from tasks.plan.traffic import Route53

_SYNC_S = 45.0
_POLL_S = 1.0
# Route 53 answers these with HTTP 400, though the same call may succeed a moment later.
_PASSING = {"Throttling", "ThrottlingException", "PriorRequestNotComplete", "RequestLimitExceeded"}
# Only these errors are repeated in Amazon's words, which name records and zones and nothing secret.
_TELLING = {"InvalidChangeBatch", "InvalidInput", "NoSuchHostedZone"}
_ROLES = {"PRIMARY": 1, "SECONDARY": 0}

Record = dict[str, Any]


def standing(plan: Plan) -> dict[str, Standing]:
    """Each site's part of the answers that Route 53 gives.

    Raises:
        Transient: Route 53 does not answer, or not now.
        Permanent: it refuses, or the record is not as the plan has it.
    """
    chosen = _chosen(plan)
    with _told(chosen):
        records = _records(_client(plan, chosen), chosen)
    found = {site: _weight(chosen, record) for site, record in records.items()}
    if found and not any(found.values()):
        # Where every weight is 0, Route 53 gives every answer alike.
        found = dict.fromkeys(found, 1)
    return standings({site: found.get(site, 0) for site in chosen.values})


def move(plan: Plan, weights: Mapping[str, int]) -> None:
    """Set every site's weight in one change, and wait until all of Route 53's servers know it.

    Raises:
        Transient: Route 53 does not answer, not now, or its servers do not all know it after 45 seconds.
        Permanent: it refuses, or the record is not as the plan has it.
        Refused: a failover record cannot have these weights.
    """
    chosen = _chosen(plan)
    if chosen.routing == "failover" and max(weights.values()) != sum(weights.values()):
        raise Refused("a failover record sends all users to one site", hint="use weighted routing")
    with _told(chosen):
        client = _client(plan, chosen)
        records = _records(client, chosen)
        changes = [
            {"Action": "UPSERT", "ResourceRecordSet": each} for each in _record_sets(chosen, records, weights)
        ]
        answer = client.change_resource_record_sets(
            HostedZoneId=chosen.zone, ChangeBatch={"Comment": "naas-dr moves users", "Changes": changes}
        )
        _await_servers(client, answer["ChangeInfo"]["Id"], chosen)


def settle_s(plan: Plan) -> float:
    """For how long after a move resolvers may still give the answer of before: the record's time to live."""
    return _chosen(plan).ttl.total_seconds()


def _chosen(plan: Plan) -> Route53:
    chosen = plan.service.endpoint.route53
    if chosen is None:
        raise Refused("Route 53 does not move this plan's users", hint="see service.endpoint.route53")
    return chosen


def _records(client: Any, chosen: Route53) -> dict[str, Record]:
    """The record sets that are there, by the site whose they are."""
    # A name has 100 weighted record sets at most, so they are all on the first page.
    page = client.list_resource_record_sets(
        HostedZoneId=chosen.zone, StartRecordName=chosen.record, StartRecordType=chosen.type, MaxItems="300"
    )
    found = {}
    for record in page["ResourceRecordSets"]:
        if (record["Name"].rstrip(".").lower(), record["Type"]) != (chosen.record, chosen.type):
            continue
        site = _site_of(chosen, record)
        if site is None:
            identity = record.get("SetIdentifier", "the only one")
            detail = f"the record set {identity} is none of {', '.join(chosen.values)}, or has other routing"
            raise Permanent(
                f"the record {chosen.record} is not as the plan has it",
                detail,
                "remove it, or correct the plan",
            )
        found[site] = record
    return found


def _site_of(chosen: Route53, record: Record) -> str | None:
    if chosen.routing == "weighted":
        site = record.get("SetIdentifier")
        return site if site in chosen.values and "Weight" in record else None
    answers = [each["Value"].rstrip(".") for each in record.get("ResourceRecords", ())]
    sites = [site for site, value in chosen.values.items() if [value] == answers]
    return sites[0] if sites and record.get("Failover") in _ROLES else None


def _weight(chosen: Route53, record: Record) -> int:
    return int(record["Weight"]) if chosen.routing == "weighted" else _ROLES[record["Failover"]]


def _record_sets(
    chosen: Route53, there: Mapping[str, Record], weights: Mapping[str, int]
) -> Iterator[Record]:
    """The record sets as they shall be; a site keeps the health check that it has."""
    names = {record.get("Failover"): record["SetIdentifier"] for record in there.values()}
    for site, value in chosen.values.items():
        weight = weights.get(site, 0)
        role = "PRIMARY" if weight else "SECONDARY"
        if chosen.routing == "weighted":
            routing: Record = {"SetIdentifier": site, "Weight": weight}
        else:
            routing = {"SetIdentifier": names.get(role, role.lower()), "Failover": role}
        health = {key: there[site][key] for key in ("HealthCheckId",) if key in there.get(site, {})}
        yield {
            "Name": chosen.record,
            "Type": chosen.type,
            "TTL": int(chosen.ttl.total_seconds()),
            "ResourceRecords": [{"Value": value}],
            **routing,
            **health,
        }


def _await_servers(client: Any, change: str, chosen: Route53) -> None:
    deadline = time.monotonic() + _SYNC_S
    while client.get_change(Id=change)["ChangeInfo"]["Status"] != "INSYNC":
        if time.monotonic() > deadline:
            raise Transient(f"not all of Route 53's servers know the change of {chosen.record}", change)
        time.sleep(_POLL_S)


def _client(plan: Plan, chosen: Route53) -> Any:
    pair = plan.credentials(chosen.credentials)
    return boto3.client(
        "route53",
        region_name="us-east-1",
        endpoint_url=chosen.api,
        aws_access_key_id=pair.access_key,
        aws_secret_access_key=pair.secret_key,
        config=Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2}),
    )


@contextmanager
def _told(chosen: Route53) -> Iterator[None]:
    """Turn boto3's errors into ours; theirs can hold the key, so none stays behind ours as its cause."""
    what = f"Route 53 does not move the users of {chosen.record}"
    try:
        yield
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        passing = code in _PASSING or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        told = f"{code}: {error.response['Error'].get('Message', '')}" if code in _TELLING else code
        raise (Transient if passing else Permanent)(what, told) from None
    except ParamValidationError as error:
        raise Permanent(what, type(error).__name__) from None
    except BotoCoreError as error:
        raise Transient(what, type(error).__name__) from None
