"""What PagerDuty must have for the plan's critical levels, and in what it differs. Pure."""

from collections.abc import Iterator
from itertools import zip_longest

from tasks.clients.paging import Level, Policy, Service, Standing
from tasks.plan.communication import Alerting
from tasks.plan.paging import PagingPolicy, PagingTarget

# One in such a state opens no incident.
_SILENT = frozenset({"disabled", "maintenance"})


def levels(alerting: Alerting, settings: PagingPolicy) -> tuple[tuple[int, PagingTarget], ...]:
    """The minutes and the target of each critical level, in order."""
    return tuple(
        (int(level.timeout.total_seconds() // 60), settings.recipients[level.recipient])
        for level in alerting.escalation_policies.critical
    )


def differences(alerting: Alerting, settings: PagingPolicy, found: Standing) -> tuple[str, ...]:
    """In what PagerDuty differs from the plan, a sentence each; `apply` mends all of it."""
    wanted = tuple(Level(minutes, (target.written(),)) for minutes, target in levels(alerting, settings))
    return (*_of_policy(settings, wanted, found.policy), *_of_service(settings, found.policy, found.service))


def wrong_key(settings: PagingPolicy, service: Service | None) -> str:
    """Why no event of ours reaches the service; empty where they do. Only people mend it."""
    if service is None or service.takes_our_key:
        return ""
    return f"the routing key belongs to no integration of the service {settings.service}"


def _of_policy(settings: PagingPolicy, wanted: tuple[Level, ...], found: Policy | None) -> Iterator[str]:
    if found is None:
        yield f"there is no escalation policy {settings.policy}"
        return
    for number, (ours, theirs) in enumerate(zip_longest(wanted, found.levels), start=1):
        if ours is None or theirs is None:
            yield f"level {number} is {'missing' if theirs is None else 'one too many'}"
            continue
        if ours.minutes != theirs.minutes:
            yield f"level {number} waits {theirs.minutes} minutes, not {ours.minutes}"
        if ours.targets != theirs.targets:
            yield f"level {number} tells {', '.join(theirs.targets)}, not {', '.join(ours.targets)}"
    if settings.repeat != found.repeat:
        yield f"the levels are repeated {found.repeat} times, not {settings.repeat}"


def _of_service(settings: PagingPolicy, policy: Policy | None, found: Service | None) -> Iterator[str]:
    if found is None:
        yield f"there is no service {settings.service}"
        return
    if policy is None or found.policy != policy.id:
        yield f"the service {settings.service} has another escalation policy"
    if found.status in _SILENT:
        yield f"the service {settings.service} pages nobody: it is {found.status}"
    if not found.always_urgent:
        yield f"the service {settings.service} does not call people at any hour"
    if not found.integrations:
        yield f"the service {settings.service} has no integration that takes our events"
