"""Alert rules from the plan's promises, schedules and timings."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tasks.plan.communication import Severity
from tasks.plan.plan import Plan
from tasks.plan.schedule import Schedule
from tasks.plan.values import in_words

Rule = dict[str, Any]

# Google, "The Site Reliability Workbook", chapter 5: burn rate, long window, short window, severity.
_BURNS: tuple[tuple[Decimal, str, str, Severity], ...] = (
    (Decimal("14.4"), "1h", "5m", "critical"),
    (Decimal(6), "6h", "30m", "critical"),
    (Decimal(1), "3d", "6h", "warning"),
)


def seconds(duration: timedelta) -> str:
    """A duration as Prometheus and Alertmanager write it."""
    return f"{whole(duration)}s"


def whole(duration: timedelta) -> int:
    """Whole seconds, as an expression compares them."""
    return int(duration.total_seconds())


def recovery_point(plan: Plan) -> Iterator[Rule]:
    """The promised RPO, and the two ways that data leaves the primary site."""
    rpo, dr = plan.tier.rpo, plan.site_of("dr")
    shipping = plan.recovery.archive_timeout + plan.recovery.pull_interval
    for share, severity in ((0.5, "warning"), (0.8, "critical")):
        limit = rpo * share
        summary = f"A disaster now would lose {{{{ $value | humanizeDuration }}}}; promised: {in_words(rpo)}"
        expr = f"dr_recovery_point_age_seconds > {whole(limit)}"
        yield rule("RecoveryPointAtRisk", expr, severity, summary, plan.tier.rpo / 20)
    lag = f'dr_replication_lag_seconds{{site="{dr}"}}'
    yield rule(
        "ReplicationLagging",
        f"{lag} > {whole(shipping)}",
        "warning",
        f"{dr} streams later than archived WAL would arrive",
        plan.recovery.archive_timeout,
    )
    for site in plan.sites:
        arrival = f'dr_wal_last_arrival_timestamp_seconds{{site="{site}"}}'
        late = min(3 * shipping, rpo)
        expr = f"time() - {arrival} > {whole(late)}"
        yield rule(
            "WalArchiveStale",
            expr,
            "critical",
            f"No WAL reached {site} for too long",
            timedelta(0),
            site=site,
        )


def archiving(plan: Plan) -> Iterator[Rule]:
    """What the check of WAL archiving found, and that it runs at all."""
    late = whole((plan.recovery.wal_check.interval or timedelta(hours=1)) * 3)
    summary = "{{ $value }} red findings at {{ $labels.site }}: see check_wal_archiving"
    yield rule("WalArchivingBroken", "dr_wal_check_red > 0", "critical", summary, timedelta(0))
    stale = f"time() - dr_wal_check_timestamp_seconds > {late}"
    yield rule("WalNotChecked", stale, "critical", "Nobody checks WAL archiving", timedelta(0))
    full = f"dr_wal_disk_full_seconds < {whole(timedelta(hours=1))}"
    summary = "WAL would fill the disk in {{ $value | humanizeDuration }}"
    yield rule("WalDiskFilling", full, "warning", summary, timedelta(minutes=5))


def backups(plan: Plan) -> Iterator[Rule]:
    """Each backup that a clock starts: late after a quarter of its interval, critical after a whole one."""
    for name, schedule in _clocked(plan).items():
        interval = schedule.interval or timedelta(0)
        age = f'time() - dr_backup_last_success_timestamp_seconds{{backup="{name}"}}'
        for late, severity in ((interval * 5 / 4, "warning"), (interval * 2, "critical")):
            expr = f"{age} > {whole(late)}"
            summary = f"No good {name} since {{{{ $value | humanizeDuration }}}}; planned {schedule.words}"
            yield rule("BackupOverdue", expr, severity, summary, timedelta(minutes=5), backup=name)


def _clocked(plan: Plan) -> dict[str, Schedule]:
    """The schedules of all backups that time triggers, by the exporter's names."""
    named = {
        **{path.rpartition(".")[2]: each.schedule for path, each in plan.backup_strategy.scheduled().items()},
        "redis": plan.protection.redis.schedule,
        "secrets": plan.protection.secrets.schedule,
        "archive": plan.protection.archive.schedule,
    }
    return {name: schedule for name, schedule in named.items() if schedule.interval}


def copies(plan: Plan) -> Iterator[Rule]:
    """What the sites hold, and whether it is whole."""
    verification = (plan.protection.verification.schedule.interval or timedelta(days=1)) * 2
    states: dict[str, Severity] = {
        "late": "warning", "missing": "critical", "damaged": "critical", "unknown": "critical"
    }  # fmt: skip
    for state, severity in states.items():
        expr = f'dr_catalogue_state{{state="{state}"}} == 1'
        summary = f"{{{{ $labels.asset }}}} at {{{{ $labels.site }}}} is {state}"
        yield rule("BackupNotRecoverable", expr, severity, summary, timedelta(minutes=5), state=state)
    yield rule(
        "BackupDamaged",
        "dr_verified_damages > 0",
        "critical",
        "{{ $value }} objects of {{ $labels.asset }} at {{ $labels.site }} are damaged",
        timedelta(0),
    )
    yield rule(
        "VerificationOverdue",
        f"time() - dr_verified_timestamp_seconds > {whole(verification)}",
        "warning",
        "{{ $labels.asset }} at {{ $labels.site }} was not verified for {{ $value | humanizeDuration }}",
        timedelta(hours=1),
    )
    late = whole((plan.recovery.replication.interval or timedelta(hours=1)) * 3)
    yield rule(
        "ReplicationStale",
        f"time() - dr_replication_last_success_timestamp_seconds > {late}",
        "critical",
        "{{ $labels.repository }} did not arrive whole at {{ $labels.target }}",
        timedelta(0),
    )
    yield rule(
        "ReplicationConflict",
        "dr_replication_conflicts > 0",
        "critical",
        "{{ $value }} objects of {{ $labels.repository }} at {{ $labels.source }} are not what they were",
        timedelta(0),
    )
    for severity in ("critical", "warning"):
        expr = f'dr_coverage_findings{{severity="{severity}"}} > 0'
        summary = "{{ $value }} assets are not covered, or not for long: see `dr backups`"
        yield rule("NotCovered", expr, severity, summary, timedelta(0))
    frozen = "Nothing expires: an incident is open, or nobody can tell"
    yield rule("ExpiryFrozen", "dr_expiry_frozen == 1", "warning", frozen, timedelta(days=1))


def drills(plan: Plan) -> Iterator[Rule]:
    """A recovery that nobody has rehearsed in time."""
    for name, drill in plan.dr_testing.drills().items():
        if drill.frequency.interval:
            late = drill.frequency.interval * 11 / 10
            age = f'time() - dr_drill_last_success_timestamp_seconds{{drill="{name}"}}'
            expr = f"{age} > {whole(late)}"
            summary = f"{name} has not passed in time; planned {drill.frequency.words}"
            yield rule("DrillOverdue", expr, "warning", summary, timedelta(hours=1), drill=name)


def readiness(plan: Plan) -> Iterator[Rule]:
    """Whether the service could be recovered now, and whether anybody still asks."""
    interval = plan.readiness.schedule.interval or timedelta(days=1)
    told = "The service could not be recovered now, or nobody can tell: see the artifact `readiness`"
    yield rule("NotReady", 'dr_readiness{standing="NOT READY"} == 1', "critical", told, 2 * interval)
    stale = f"time() - dr_readiness_timestamp_seconds > {whole(3 * interval)}"
    yield rule("ReadinessStale", stale, "warning", "Readiness is not evaluated any more", interval)


def health(plan: Plan) -> Iterator[Rule]:
    """The sites, and the eyes on them."""
    detection = plan.high_availability.failover.detection_timeout
    for name, site in plan.sites.items():
        expr = f'dr_site_healthy{{site="{name}"}} == 0'
        severity: Severity = "warning" if site.role == "archive" else "critical"
        yield rule(
            "SiteUnhealthy", expr, severity, f"The {site.role} site is unhealthy", detection, site=name
        )
    yield rule("NotWatched", 'up{job="dr"} == 0', "critical", "Nothing watches the service", detection)
    stale = "time() - dr_exporter_last_success_timestamp_seconds > 300"
    summary = "{{ $labels.part }} is not measured any more"
    yield rule("ExporterStale", stale, "critical", summary, timedelta(minutes=1))
    quorum = "sum(etcd_server_has_leader) < 2"
    yield rule("ConsensusLost", quorum, "critical", "Fewer than two sites agree on a leader", detection)


def certificates(plan: Plan) -> Iterator[Rule]:
    """A certificate that ends soon; one that is not trusted any more is not measured."""
    ends = plan.validation.security.certificates_valid_for
    for site in plan.sites:
        left = f'dr_certificate_expiry_timestamp_seconds{{site="{site}"}} - time()'
        summary = f"The certificate of the store of {site} ends in {{{{ $value | humanizeDuration }}}}"
        for limit, severity in ((ends, "warning"), (ends / 4, "critical")):
            expr = f"{left} < {whole(limit)}"
            yield rule("CertificateEnding", expr, severity, summary, timedelta(0), site=site)


def error_budget(plan: Plan) -> Iterator[Rule]:
    """How fast the availability promise is being spent, over a long window and still so over a short one."""
    budget = 1 - plan.tier.availability
    for rate, long, short, severity in _BURNS:
        limit = f"{(rate * budget).normalize():f}"
        if Decimal(limit) < 1:
            failed = (
                f"(1 - avg_over_time(dr_probe_success[{window}])) > {limit}" for window in (long, short)
            )
            summary = f"Over {long} the error budget burns {rate:f} times too fast"
            yield rule("ErrorBudgetBurn", " and ".join(failed), severity, summary, timedelta(0), window=long)


def rule(alert: str, expr: str, severity: str, summary: str, lasting: timedelta, **labels: str) -> Rule:
    """One alert rule; it fires once its expression has held for `lasting`."""
    return {
        "alert": alert,
        "expr": expr,
        "for": seconds(lasting),
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary},
    }
