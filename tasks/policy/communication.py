"""Who is told what about an incident, and in which words.

Source: the seed's "Crisis Communication" and "Intelligent Alerting".

Somebody must act when an incident is opened, declared or failed: these stages are critical. That it has
recovered is for information. A severity goes where the plan's `alerting` sends it. From its declaration on,
an incident is also told where the plan sends information, and who was told of its beginning is told of its
end. A channel that fails is stood in for by the next one of the plan that works, also by one that would
carry summaries only: nobody hearing of a disaster is the one wrong outcome.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tasks.clients.channels.message import DutyStage, Message, Stage
from tasks.facts.communication import Delivery
from tasks.facts.incident import Incident
from tasks.plan.communication import Alerting, ChannelName, Severity
from tasks.plan.plan import Plan

_SEVERITIES: Mapping[Stage, Severity] = {
    "opened": "critical",
    "declared": "critical",
    "failed": "critical",
    "recovered": "info",
}
_STATUS: Mapping[Stage, str] = {
    "opened": "The failure was detected and is being assessed.",
    "declared": "A disaster was declared; the service is being moved from {failed} to {to}.",
    "failed": "Moving the service from {failed} to {to} has not succeeded; engineers are working on it.",
    "recovered": "The service runs in {to}.",
}


def carriers(alerting: Alerting, stage: Stage | DutyStage) -> tuple[ChannelName, ...]:
    """The channels that carry a stage, in the plan's order; only a reminder wakes nobody."""
    wanted = set(alerting.carrying("critical")) if stage != "reminder" else set[ChannelName]()
    if stage != "opened":
        wanted |= set(alerting.carrying("info"))
    return tuple(channel for channel in alerting.order if channel in wanted)


def stand_ins(order: tuple[ChannelName, ...], told: Mapping[ChannelName, bool]) -> tuple[ChannelName, ...]:
    """The channels to try next: for each that failed the next one after it, unless that was told already.

    Args:
        order: the plan's channels; the first comes after the last.
        told: of those that were tried, whether they took the message.
    """
    found: set[ChannelName] = set()
    for channel in (channel for channel, taken in told.items() if not taken):
        at = order.index(channel)
        after = (other for other in (*order[at + 1 :], *order[:at]) if told.get(other, True))
        following = next(after, None)
        if following and following not in told:
            found.add(following)
    return tuple(channel for channel in order if channel in found)


def compose(plan: Plan, incident: Incident, stage: Stage, at: datetime, note: str = "") -> Message:
    """A stage of an incident in the plan's words.

    Args:
        plan: the plan.
        incident: the incident.
        stage: what happened.
        at: when it happened.
        note: what else is to be said, in whole sentences.

    Raises:
        Permanent: the template asks for a value that there is not.
    """
    over = stage == "recovered"
    templates = plan.communication_templates
    template = templates.resolution_notification if over else templates.incident_notification
    values = _values(incident, stage, note)
    if over:
        values["resolution_time"] = _time(at)
        values["resolution_summary"] = _sentences(
            f"The service was moved from {incident.failed_site} to {incident.to_site}.", note
        )
    else:
        values["next_update_time"] = _time(next_update(plan.alerting, at))
    subject, text = template.fill(values)
    return Message(
        stage=stage,
        severity=_SEVERITIES[stage],
        incident=incident.id,
        subject=" ".join(subject.split()),
        text=text.strip(),
        dedup_key=incident.id,
    )


def next_update(alerting: Alerting, at: datetime) -> datetime:
    """By when there is news: the longest that one level of the critical escalation may take."""
    return at + max(level.timeout for level in alerting.escalation_policies.critical)


def repeated(channel: ChannelName, before: Delivery | None) -> str:
    """What is to be known of a message that an earlier run may have sent."""
    if before is None:
        return ""
    if before.outcome == "failed":
        return f"told again after it had failed at {before.at:%H:%M:%S} UTC"
    if channel == "pagerduty":
        return "sent again under the same key, which changes nothing if it had arrived"
    return f"may have been told twice: a run ended while it was sending at {before.at:%H:%M:%S} UTC"


def furthest(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """One record for each stage and channel, by time: that it was sent, or else the latest."""
    found: dict[tuple[Stage, ChannelName], Delivery] = {}
    for each in sorted(deliveries, key=lambda d: (d.outcome == "sent", d.at)):
        found[each.stage, each.channel] = each
    return sorted(found.values(), key=lambda each: each.at)


def _values(incident: Incident, stage: Stage, note: str) -> dict[str, str]:
    status = _STATUS[stage].format(failed=incident.failed_site, to=incident.to_site)
    return {
        "service_name": incident.service,
        "start_time": _time(incident.detected_at),
        "impact_description": f"{incident.service} is disrupted in {incident.failed_site}.",
        "current_status": _sentences(status, note),
        "root_cause_summary": incident.reason or "Not known yet; it is being looked for.",
        "incident": incident.id,
        "failed_site": incident.failed_site,
        "recovery_site": incident.to_site,
    }


def _sentences(*parts: str) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
