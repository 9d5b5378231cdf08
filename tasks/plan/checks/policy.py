"""The policy: promises that the timings can keep, backups that overlap, alerts that reach somebody."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import ceil

from tasks.plan.availability import HighAvailability, SlaTier
from tasks.plan.backup import BackupStrategy
from tasks.plan.communication import (
    KNOWN_AFTER,
    KNOWN_DURING,
    Alerting,
    CommunicationTemplates,
    Notifications,
)
from tasks.plan.mesh import Mesh
from tasks.plan.mistakes import Mistake
from tasks.plan.monitoring import Monitoring
from tasks.plan.procedures import Declaration
from tasks.plan.sites import Recovery, Service
from tasks.plan.values import in_words

Tiers = Mapping[str, SlaTier]
_PASSING = timedelta(seconds=60)


def tier(service: Service, sla_tiers: Tiers) -> Iterator[Mistake]:
    """The service's tier exists."""
    if service.tier not in sla_tiers:
        yield Mistake("service.tier", "no such tier", f"one of {', '.join(sla_tiers)}")


def recovery_point(service: Service, sla_tiers: Tiers, recovery: Recovery) -> Iterator[Mistake]:
    """WAL leaves the region soon enough for the promised RPO."""
    lag = recovery.archive_timeout + recovery.pull_interval
    if service.tier in sla_tiers and lag > sla_tiers[service.tier].rpo:
        wrong = f"with pull_interval, WAL leaves the region {in_words(lag)} late"
        allowed = f"the tier's rpo at most, {in_words(sla_tiers[service.tier].rpo)}"
        yield Mistake("recovery.archive_timeout", wrong, allowed)


def recovery_time(
    service: Service, sla_tiers: Tiers, high_availability: HighAvailability
) -> Iterator[Mistake]:
    """A failover within the site ends within the promised RTO."""
    failover = high_availability.failover
    outage = failover.detection_timeout + failover.failover_time
    if service.tier in sla_tiers and outage > sla_tiers[service.tier].rto:
        wrong = f"with detection_timeout, the service is out for {in_words(outage)}"
        allowed = f"the tier's rto at most, {in_words(sla_tiers[service.tier].rto)}"
        yield Mistake("high_availability.failover.failover_time", wrong, allowed)


def replay_time(service: Service, sla_tiers: Tiers, recovery: Recovery) -> Iterator[Mistake]:
    """Waiting for archived WAL leaves time for the promised RTO."""
    if service.tier in sla_tiers and recovery.replay_within >= sla_tiers[service.tier].rto:
        allowed = f"less than the tier's rto, {in_words(sla_tiers[service.tier].rto)}"
        yield Mistake("recovery.replay_within", "the promotion may wait too long", allowed)


def commanders(declaration: Declaration, sla_tiers: Tiers) -> Iterator[Mistake]:
    """Each tier can be declared for, by people who are each named once."""
    names = declaration.commanders
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Mistake(f"declaration.commanders.{index}", f"{name} again", "each commander once")
    for tier_name, count in declaration.approvals.items():
        path = f"declaration.approvals.{tier_name}"
        if tier_name not in sla_tiers:
            yield Mistake(path, "no such tier", f"one of {', '.join(sla_tiers)}")
        if count > len(set(names)):
            yield Mistake(path, f"{count} approvals", f"{len(set(names))} at most, one a commander")


def health_checks(high_availability: HighAvailability) -> Iterator[Mistake]:
    """A health check ends before the next one."""
    for index, check in enumerate(high_availability.failover.health_checks):
        if check.timeout > check.interval:
            path = f"high_availability.failover.health_checks.{index}.timeout"
            yield Mistake(path, "longer than the interval", f"{in_words(check.interval)} at most")


def detection(high_availability: HighAvailability) -> Iterator[Mistake]:
    """The loss of a site is seen, and agreed on, within the promised time."""
    failover = high_availability.failover
    takes = timedelta(seconds=ceil(failover.quickest.told_within.total_seconds()))
    if takes > failover.detection_timeout:
        wrong = "shorter than what the health checks need"
        allowed = f"{in_words(takes)} at least, or quicker health checks"
        yield Mistake("high_availability.failover.detection_timeout", wrong, allowed)


def confirmation(recovery: Recovery) -> Iterator[Mistake]:
    """What heals by itself within a minute is never declared a disaster by itself.

    GitHub, "October 21 post-incident analysis" (2018): a partition of 43 seconds moved the primaries across
    the country, and a day of repairs followed.
    """
    if recovery.watch.confirm < _PASSING:
        allowed = f"{in_words(_PASSING)} at least: partitions and restarts pass"
        yield Mistake("recovery.watch.confirm", "a passing fault would be declared", allowed)


def kept_until_next(backup_strategy: BackupStrategy) -> Iterator[Mistake]:
    """A backup is kept until the next one is there."""
    for name, backup in backup_strategy.scheduled().items():
        interval = backup.schedule.interval
        if interval and backup.retention < interval:
            allowed = f"{in_words(interval)} at least, the time between two backups"
            yield Mistake(f"backup_strategy.{name}.retention", "gone before the next backup", allowed)


def kept_together(backup_strategy: BackupStrategy) -> Iterator[Mistake]:
    """Nothing outlives what it depends on, and WAL joins one full backup to the next."""
    database = backup_strategy.database
    longest, between = database.full_backup.retention, database.full_backup.schedule.interval
    path = "backup_strategy.database"
    if database.incremental_backup.retention > longest:
        allowed = f"{in_words(longest)} at most, the full backup's retention"
        yield Mistake(f"{path}.incremental_backup.retention", "outlives its full backup", allowed)
    if between and database.wal_archiving.retention < between:
        allowed = f"{in_words(between)} at least, the time between two full backups"
        yield Mistake(f"{path}.wal_archiving.retention", "leaves a gap", allowed)


def by_time(backup_strategy: BackupStrategy) -> Iterator[Mistake]:
    """A database changes all the time: its backups need a clock."""
    for name, backup in backup_strategy.scheduled().items():
        if name.startswith("database.") and backup.schedule.cron is None:
            path = f"backup_strategy.{name}.schedule"
            yield Mistake(path, "a database changes all the time", "a time, such as 'daily at 2:00 AM UTC'")


def escalation(alerting: Alerting) -> Iterator[Mistake]:
    """Each policy's alerts are carried, and each recipient's channel exists."""
    channels = [channel.name for channel in alerting.notification_channels]
    for severity, policy in alerting.escalation_policies.by_severity().items():
        path = f"alerting.escalation_policies.{severity}"
        if not alerting.carrying(severity):
            yield Mistake(path, f"no notification channel carries {severity} alerts", "one that carries them")
        for index, level in enumerate(policy):
            if level.channel and level.channel not in channels:
                wrong = f"{level.channel} is no notification channel"
                yield Mistake(f"{path}.{index}.level_{level.level}", wrong, f"one of {', '.join(channels)}")


def channels_once(alerting: Alerting) -> Iterator[Mistake]:
    """No channel twice."""
    names = [channel.name for channel in alerting.notification_channels]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Mistake(f"alerting.notification_channels.{index}", f"{name} again", "each channel once")


def channel_addresses(alerting: Alerting, notifications: Notifications) -> Iterator[Mistake]:
    """Each channel leads somewhere."""
    for channel in alerting.notification_channels:
        if getattr(notifications, channel.name) is None:
            path = f"notifications.{channel.name}"
            yield Mistake(path, "missing", "the address behind each notification channel")


def templates(communication_templates: CommunicationTemplates) -> Iterator[Mistake]:
    """A template asks for nothing that is not known when it is sent."""
    unknown = {"incident_notification": KNOWN_AFTER, "resolution_notification": KNOWN_DURING}
    for name, placeholders in unknown.items():
        for asked in sorted(getattr(communication_templates, name).placeholders & placeholders):
            path = f"communication_templates.{name}"
            yield Mistake(path, f"[{asked}] is not known at that moment", "another placeholder")


def dashboards_channel(monitoring: Monitoring, alerting: Alerting) -> Iterator[Mistake]:
    """Grafana alerts through a channel that exists."""
    channels = [channel.name for channel in alerting.notification_channels]
    if monitoring.metrics.grafana.alerting.channel not in channels:
        path = "monitoring.metrics.grafana.alerting"
        yield Mistake(path, "no notification channel", f"one of {', '.join(channels)}")


def retries(mesh: Mesh) -> Iterator[Mistake]:
    """One try ends before the whole request must."""
    policy = mesh.retry_policy
    if policy.per_try_timeout > policy.timeout:
        allowed = f"{in_words(policy.timeout)} at most, the whole timeout"
        yield Mistake("mesh.retry_policy.per_try_timeout", "longer than all tries together", allowed)


CHECKS = (
    tier, recovery_point, recovery_time, replay_time, commanders, health_checks, detection, confirmation,
    kept_until_next, kept_together, by_time, escalation, channels_once, channel_addresses, templates,
    dashboards_channel, retries,
)  # fmt: skip
