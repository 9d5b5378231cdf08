"""Alertmanager's webhook, version 4 (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).

Only a firing alert with the label `disaster="true"` asks for anything. Severity alone does not: a critical
alert such as a stale WAL archive names a site too, and moves nothing. No rule that we render has the label:
one Prometheus sees from one place, and a loss that we see ourselves is declared by all who watch. Whoever
writes a rule that must act gives it the label, and `site` (the plan's name) or `region`. An alert with
another `service` than the plan's is not ours.
"""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from deployments.notice_formats.notice import CamelForm, Notice, labelled_site, read, words
from tasks.errors import Refused
from tasks.plan.plan import Plan

NAME = "alertmanager"


class _Alert(CamelForm):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: AwareDatetime
    fingerprint: str


class _Webhook(CamelForm):
    version: Literal["4"]
    alerts: tuple[_Alert, ...]


def parse(body: Any, plan: Plan) -> list[Notice]:
    """Read a group of alerts; one that names no site stands in no other's way.

    Raises:
        Refused: it is no such webhook, or none of its disasters names a site of the plan.
    """
    notices, refusals = [], []
    for alert in read(_Webhook, body).alerts:
        if not _is_disaster(alert, plan):
            continue
        try:
            site = labelled_site(plan, alert.labels)
        except Refused as refusal:
            refusals.append(refusal)
        else:
            notices += [_notice(alert, site)] if site else []
    if refusals and not notices:
        raise refusals[0]
    return notices


def _is_disaster(alert: _Alert, plan: Plan) -> bool:
    ours = alert.labels.get("service", plan.service.name) == plan.service.name
    return ours and alert.status == "firing" and alert.labels.get("disaster") == "true"


def _notice(alert: _Alert, site: str) -> Notice:
    name = alert.labels.get("alertname", "alert")
    reason = words(f"{name}: {alert.annotations.get('summary', 'no summary')}")
    severity = words(alert.labels.get("severity", "unknown"), 20)
    key = f"{alert.fingerprint}@{alert.starts_at.isoformat()}"
    return Notice(site, reason, alert.starts_at, severity, NAME, key)
