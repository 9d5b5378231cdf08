"""PagerDuty's escalation policy: everybody of the critical levels is known there, and minutes are whole."""

from collections.abc import Iterator
from datetime import timedelta

from tasks.plan.communication import Alerting, Notifications
from tasks.plan.mistakes import Mistake

_PATH = "notifications.pagerduty.escalation"
_LEVELS = "alerting.escalation_policies.critical"
_MINUTE = timedelta(minutes=1)


def paging_recipients(alerting: Alerting, notifications: Notifications) -> Iterator[Mistake]:
    """Each critical recipient has one there, and nobody else does."""
    if notifications.pagerduty is None or notifications.pagerduty.escalation is None:
        return
    named = [level.recipient for level in alerting.escalation_policies.critical]
    known = notifications.pagerduty.escalation.recipients
    for name in named:
        if name not in known:
            yield Mistake(f"{_PATH}.recipients.{name}", "missing", "each recipient of the critical levels")
    for name in known:
        if name not in named:
            wrong = "no recipient of a critical level"
            yield Mistake(f"{_PATH}.recipients.{name}", wrong, f"{', '.join(named)}")


def paging_levels(alerting: Alerting, notifications: Notifications) -> Iterator[Mistake]:
    """PagerDuty reaches each critical level, and waits whole minutes."""
    if notifications.pagerduty is None or notifications.pagerduty.escalation is None:
        return
    for index, level in enumerate(alerting.escalation_policies.critical):
        path = f"{_LEVELS}.{index}"
        if "pagerduty" not in alerting.reaching("critical", level):
            wrong = f"PagerDuty does not reach {level.recipient}"
            yield Mistake(path, wrong, f"a recipient whom it pages, or no {_PATH}")
        if level.timeout % _MINUTE:
            yield Mistake(f"{path}.timeout", "PagerDuty waits whole minutes", "such as '5 minutes'")


CHECKS = (paging_recipients, paging_levels)
