"""Prometheus and Alertmanager: what is scraped, who is told, and who is told next."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate
from typing import Any

from infra.platform.metrics import (
    ALERTMANAGER_PORT,
    ETCD_PORT,
    EXPORTER_PORT,
    NOTICES_PORT,
    PATRONI_PORT,
)
from infra.platform.rules import seconds
from tasks.plan.communication import ChannelName, Email, EscalationLevel, Pagerduty, Severity
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

_JOBS: dict[str, tuple[Program, int]] = {
    "dr": ("control", EXPORTER_PORT),
    "patroni": ("postgres", PATRONI_PORT),
    "etcd": ("etcd", ETCD_PORT),
}
_PERIODS = {"daily": "1d", "weekly": "1w"}
# Beside alertmanager.yml, so that the configuration itself holds no secret.
SECRET_FILES: dict[ChannelName, str] = {
    "pagerduty": "secrets/pagerduty_routing_key",
    "slack": "secrets/slack_webhook",
    "email": "secrets/email_password",
}
NOTICES_CREDENTIALS_FILE = "secrets/notices_token"
_SUMMARY = "{{ .CommonAnnotations.summary }}"
_NOTICES_ROUTE = {
    "receiver": "notices",
    "matchers": ['disaster="true"'],
    # What one site's loss sets off is one notice; one that did not arrive is sent again.
    "group_by": ["site", "region"],
    "group_wait": "0s",
    "group_interval": "1m",
    "repeat_interval": "5m",
    "continue": True,
}


def prometheus_config(plan: Plan) -> dict[str, Any]:
    """prometheus.yml: every host that exports metrics, labelled with its site."""
    prometheus = plan.monitoring.metrics.prometheus
    control = plan.sites[plan.site_of("dr")].addresses("control")
    return {
        "global": {
            "scrape_interval": seconds(prometheus.scrape_interval),
            "evaluation_interval": seconds(prometheus.scrape_interval),
            "external_labels": {"service": plan.service.name},
        },
        "rule_files": [prometheus.alerting_rules],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{a}:{ALERTMANAGER_PORT}" for a in control]}]}
            ]
        },
        "scrape_configs": [
            # What the exporter says of a site is labelled with that site, not with the exporter's own.
            {"job_name": job, "honor_labels": job == "dr", "static_configs": [*_targets(plan, program, port)]}
            for job, (program, port) in _JOBS.items()
        ],
    }


def prometheus_arguments(plan: Plan) -> str:
    """Debian's /etc/default/prometheus."""
    return f'ARGS="{storage_argument(plan)}"\n'


def storage_argument(plan: Plan) -> str:
    """Retention is an argument of Prometheus, not a setting."""
    return f"--storage.tsdb.retention.time={seconds(plan.monitoring.metrics.prometheus.retention)}"


def _targets(plan: Plan, program: Program, port: int) -> Iterator[dict[str, Any]]:
    for site_name, site in plan.sites.items():
        for name, host in site.running(program).items():
            labels = {"site": site_name, "host": name, "zone": host.zone}
            yield {"targets": [f"{host.address}:{port}"], "labels": labels}


def alertmanager_config(plan: Plan) -> dict[str, Any]:
    """alertmanager.yml: a route for each escalation level, which waits for the levels before it.

    A level is told when the alert still fires after the timeouts before it: `group_wait` of a group of one
    alert. Whoever takes an alert on silences it, which stops the ladder.

    What is labelled a disaster goes to the control host as well, where the plan has a token for it.
    """
    summaries = [channel for channel in plan.alerting.notification_channels if channel.summaries]
    receivers = {"info": _receiver(plan, plan.alerting.carrying("info"), {"severity": "info"})}
    routes: list[dict[str, Any]] = []
    if plan.secrets.notices_token:
        receivers["notices"] = _notices_receiver(plan)
        routes.append(_NOTICES_ROUTE)
    for channel in summaries:
        name = f"{channel.name}-summary"
        receivers[name] = _receiver(plan, [channel.name], {})
        routes.append(_summary_route(name, _PERIODS[channel.summaries or "daily"]))
    for severity, policy in plan.alerting.escalation_policies.by_severity().items():
        routes += _ladder(severity, policy)
        for level in policy:
            receivers[_receiver_name(severity, level)] = _receiver(plan, *_reached(plan, severity, level))
    routes.append({"receiver": "info", "matchers": ['severity="info"']})
    named = [{"name": name, **configs} for name, configs in receivers.items()]
    return {"route": {"receiver": "info", "routes": routes}, "receivers": named}


def _notices_receiver(plan: Plan) -> dict[str, Any]:
    """Where deployments/notices.py listens; what has ended asks for nothing."""
    control = plan.sites[plan.site_of("dr")].addresses("control")[0]
    token = {"authorization": {"type": "Bearer", "credentials_file": NOTICES_CREDENTIALS_FILE}}
    url = f"http://{control}:{NOTICES_PORT}/notices/alertmanager"
    return {"webhook_configs": [{"url": url, "send_resolved": False, "http_config": token}]}


def _summary_route(receiver: str, period: str) -> dict[str, Any]:
    """Everything that fires, in one message each period."""
    times = {"group_wait": period, "group_interval": period, "repeat_interval": period}
    return {"receiver": receiver, "continue": True, **times}


def _ladder(severity: Severity, policy: tuple[EscalationLevel, ...]) -> Iterator[dict[str, Any]]:
    waits = accumulate((level.timeout for level in policy), initial=timedelta(0))
    total = sum((level.timeout for level in policy), timedelta(0))
    for level, wait in zip(policy, waits, strict=False):
        yield {
            "receiver": _receiver_name(severity, level),
            "matchers": [f'severity="{severity}"'],
            "group_by": ["..."],
            "group_wait": seconds(wait),
            "group_interval": "1m",
            "repeat_interval": seconds(total),
            "continue": level is not policy[-1],
        }


def _receiver_name(severity: Severity, level: EscalationLevel) -> str:
    return f"{severity}-{level.level}-{level.recipient}"


def _reached(
    plan: Plan, severity: Severity, level: EscalationLevel
) -> tuple[list[ChannelName], dict[str, str]]:
    """The channels that reach a level, and what the message says about it."""
    channels = [level.channel] if level.channel else plan.alerting.carrying(severity)
    return channels, {"severity": severity, "recipient": level.recipient, "level": str(level.level)}


def _receiver(plan: Plan, channels: list[ChannelName], details: dict[str, str]) -> dict[str, Any]:
    notifications = plan.notifications
    configs: dict[str, Any] = {}
    if "pagerduty" in channels and notifications.pagerduty:
        configs["pagerduty_configs"] = [_page(notifications.pagerduty, details)]
    if "slack" in channels and notifications.slack:
        webhook = SECRET_FILES["slack"]
        chat = {"api_url_file": webhook, "channel": notifications.slack.channel, "title": _title(details)}
        configs["slack_configs"] = [chat]
    if "email" in channels and notifications.email:
        configs["email_configs"] = [_mail(notifications.email)]
    return configs


def _title(details: dict[str, str]) -> str:
    return " ".join([_SUMMARY, *details.values()])


def _page(settings: Pagerduty, details: dict[str, str]) -> dict[str, Any]:
    return {
        "routing_key_file": SECRET_FILES["pagerduty"],
        "url": f"{settings.endpoint}/v2/enqueue",
        "description": _title(details),
        "severity": details.get("severity", "error"),
        "details": details,
    }


def _mail(settings: Email) -> dict[str, Any]:
    """In clear only to a smarthost on the same machine, as our own mail goes."""
    mail = {"to": settings.to, "from": settings.sender, "smarthost": settings.smarthost,
            "send_resolved": True, "require_tls": not settings.on_this_machine}  # fmt: skip
    if settings.user:
        mail |= {"auth_username": settings.user, "auth_password_file": SECRET_FILES["email"]}
    return mail
