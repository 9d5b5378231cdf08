"""Alertmanager: who is told, who is told next, and who is told where a channel fails."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from infra.platform.metrics import NOTICES_PORT
from infra.platform.quiet import muted, time_intervals
from infra.platform.rules import seconds
from infra.platform.watch_rules import UNTOLD, WATCHDOG
from tasks.plan.communication import ChannelName, Email, EscalationLevel, Pagerduty, Severity
from tasks.plan.paging import Heartbeat
from tasks.plan.plan import Plan

# How soon a message that was not taken is sent again, after what its channel itself tries.
_AGAIN = "1m"
_PERIODS = {"daily": timedelta(days=1), "weekly": timedelta(weeks=1)}
# Beside alertmanager.yml, so that the configuration itself holds no secret.
SECRET_FILES: dict[ChannelName, str] = {
    "pagerduty": "secrets/pagerduty_routing_key",
    "slack": "secrets/slack_webhook",
    "email": "secrets/email_password",
}
NOTICES_CREDENTIALS_FILE = "secrets/notices_token"
HEARTBEAT_FILE = "secrets/heartbeat_token"
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


def alertmanager_config(plan: Plan) -> dict[str, Any]:
    """alertmanager.yml: a route for each escalation level, which waits for the levels before it.

    A level is told when the alert still fires after the timeouts before it: `group_wait` of a group of one
    alert. Whoever takes an alert on silences it, which stops the ladder. Where PagerDuty escalates by itself,
    it is told once. What a channel did not take climbs the same ladder through the channels that stand in.

    What is labelled a disaster goes to the control host as well, where the plan has a token for it.
    """
    told = [*_beyond_ladders(plan), *_ladders(plan), _info(plan)]
    receivers = {each.receiver["name"]: each.receiver for each in told}
    routes = [each.route for each in told if each.route]
    config = {"route": {"receiver": "info", "routes": routes}, "receivers": [*receivers.values()]}
    return config | ({"time_intervals": quiet} if (quiet := time_intervals(plan)) else {})


class _Told(NamedTuple):
    """A receiver, and the route that leads to it; none where another one's child does."""

    route: dict[str, Any] | None
    receiver: dict[str, Any]


def _beyond_ladders(plan: Plan) -> Iterator[_Told]:
    """What is asked before any severity."""
    if heartbeat := plan.notifications.heartbeat:
        yield _Told(_heartbeat_route(heartbeat), _heartbeat_receiver(heartbeat))
    if plan.secrets.notices_token:
        yield _Told(_NOTICES_ROUTE, _notices_receiver(plan))
    yield from _stand_ins(plan)
    for channel in plan.alerting.notification_channels:
        if channel.summaries:
            name = f"{channel.name}-summary"
            yield _Told(
                _summary_route(name, _PERIODS[channel.summaries]), _receiver(plan, name, [channel.name], {})
            )


def _ladders(plan: Plan) -> Iterator[_Told]:
    for severity, policy in plan.alerting.escalation_policies.by_severity().items():
        # PagerDuty takes one page up the levels itself.
        told = 1 if severity == "critical" and plan.pagerduty_escalates else len(policy)
        for level, route in [*zip(policy, _ladder(plan, severity, _receiver_name), strict=True)][:told]:
            yield _Told(route, _receiver(plan, route["receiver"], *_reached(plan, severity, level)))


def _info(plan: Plan) -> _Told:
    receiver = _receiver(plan, "info", plan.alerting.carrying("info"), {"severity": "info"})
    return _Told({"receiver": "info", "matchers": ['severity="info"'], **muted(plan)}, receiver)


def _stand_ins(plan: Plan) -> Iterator[_Told]:
    """For each channel that may fail, the ladder of what it did not take, through those that stand in."""
    policies = plan.alerting.escalation_policies.by_severity()
    for channel, severity in plan.alerting.stood_in_for():

        def named(severity: Severity, level: EscalationLevel, channel: ChannelName = channel) -> str:
            return f"without-{channel}-{_receiver_name(severity, level)}"

        others, policy = plan.alerting.standing_in(channel, severity), policies[severity]
        routes = [*_ladder(plan, severity, named)]
        receivers = [
            _receiver(plan, route["receiver"], others, _about(severity, level))
            for route, level in zip(routes, policy, strict=True)
        ]
        untaken = [f'alertname="{UNTOLD}"', f'channel="{channel}"', f'severity="{severity}"']
        yield _Told({"receiver": receivers[0]["name"], "matchers": untaken, "routes": routes}, receivers[0])
        yield from (_Told(None, receiver) for receiver in receivers[1:])


def _notices_receiver(plan: Plan) -> dict[str, Any]:
    """Where deployments/notices.py listens; what has ended asks for nothing."""
    control = plan.sites[plan.site_of("dr")].addresses("control")[0]
    token = {"authorization": {"type": "Bearer", "credentials_file": NOTICES_CREDENTIALS_FILE}}
    url = f"http://{control}:{NOTICES_PORT}/notices/alertmanager"
    return {
        "name": "notices",
        "webhook_configs": [{"url": url, "send_resolved": False, "http_config": token}],
    }


def _heartbeat_route(heartbeat: Heartbeat) -> dict[str, Any]:
    times = {"group_wait": "0s", **_each(heartbeat.every)}
    return {"receiver": "heartbeat", "matchers": [f'alertname="{WATCHDOG}"'], **times}


def _heartbeat_receiver(heartbeat: Heartbeat) -> dict[str, Any]:
    hook: dict[str, Any] = {"url": heartbeat.url, "send_resolved": False}
    if heartbeat.token:
        hook["http_config"] = {"authorization": {"type": "Bearer", "credentials_file": HEARTBEAT_FILE}}
    return {"name": "heartbeat", "webhook_configs": [hook]}


def _summary_route(receiver: str, period: timedelta) -> dict[str, Any]:
    """Everything that fires, in one message each period."""
    return {"receiver": receiver, "continue": True, "group_wait": seconds(period), **_each(period)}


def _each(period: timedelta) -> dict[str, str]:
    """Told in every period: where both are equal, the next tick comes just before a repetition is due."""
    shorter = int(period.total_seconds() * 900)
    return {"group_interval": seconds(period), "repeat_interval": f"{shorter}ms"}


def _ladder(
    plan: Plan, severity: Severity, named: Callable[[Severity, EscalationLevel], str]
) -> Iterator[dict[str, Any]]:
    policy = plan.alerting.escalation_policies.by_severity()[severity]
    quiet = {} if severity == "critical" else muted(plan)
    waits = accumulate((level.timeout for level in policy), initial=timedelta(0))
    total = sum((level.timeout for level in policy), timedelta(0))
    for level, wait in zip(policy, waits, strict=False):
        yield {
            "receiver": named(severity, level),
            "matchers": [f'severity="{severity}"'],
            "group_by": ["..."],
            "group_wait": seconds(wait),
            "group_interval": _AGAIN,
            "repeat_interval": seconds(total),
            "continue": level is not policy[-1],
            **quiet,
        }


def _receiver_name(severity: Severity, level: EscalationLevel) -> str:
    return f"{severity}-{level.level}-{level.recipient}"


def _reached(
    plan: Plan, severity: Severity, level: EscalationLevel
) -> tuple[list[ChannelName], dict[str, str]]:
    """The channels that reach a level, and what the message says about it."""
    return plan.alerting.reaching(severity, level), _about(severity, level)


def _about(severity: Severity, level: EscalationLevel) -> dict[str, str]:
    return {"severity": severity, "recipient": level.recipient, "level": str(level.level)}


def _receiver(plan: Plan, name: str, channels: list[ChannelName], details: dict[str, str]) -> dict[str, Any]:
    notifications = plan.notifications
    receiver: dict[str, Any] = {"name": name}
    if "pagerduty" in channels and notifications.pagerduty:
        receiver["pagerduty_configs"] = [_page(notifications.pagerduty, details)]
    if "slack" in channels and notifications.slack:
        webhook = SECRET_FILES["slack"]
        chat = {"api_url_file": webhook, "channel": notifications.slack.channel}
        receiver["slack_configs"] = [chat | ({"title": _title(details)} if details else {})]
    if "email" in channels and notifications.email:
        receiver["email_configs"] = [_mail(notifications.email, details)]
    return receiver


def _title(details: dict[str, str]) -> str:
    """Of one alert; several have no summary in common, and Alertmanager's own words count them."""
    return " ".join([_SUMMARY, *details.values()])


def _page(settings: Pagerduty, details: dict[str, str]) -> dict[str, Any]:
    page: dict[str, Any] = {
        "routing_key_file": SECRET_FILES["pagerduty"],
        "url": f"{settings.endpoint}/v2/enqueue",
        "severity": details.get("severity", "error"),
        "details": details,
    }
    return page | ({"description": _title(details)} if details else {})


def _mail(settings: Email, details: dict[str, str]) -> dict[str, Any]:
    """In clear only to a smarthost on the same machine, as our own mail goes."""
    mail: dict[str, Any] = {"to": settings.to, "from": settings.sender, "smarthost": settings.smarthost,
            "send_resolved": True, "require_tls": not settings.on_this_machine}  # fmt: skip
    if details:
        mail["headers"] = {"Subject": _title(details)}
    if settings.user:
        mail |= {"auth_username": settings.user, "auth_password_file": SECRET_FILES["email"]}
    return mail
