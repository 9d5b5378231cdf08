"""Grafana: the dashboards that the plan names, their thresholds from the plan's promises."""

from typing import Any, NamedTuple

from infra.platform.alertmanager import SECRET_FILES
from tasks.plan.plan import Plan

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_LAST_BACKUP = "dr_backup_last_success_timestamp_seconds"
_LAST_COPY = "dr_replication_last_success_timestamp_seconds"
_LAST_MEASURED = "dr_exporter_last_success_timestamp_seconds"
_NOT_RECOVERABLE = 'dr_catalogue_state{state=~"missing|damaged|unknown"}'
_HEIGHT, _WIDTH, _COLUMNS = 8, 12, 24


class Panel(NamedTuple):
    """One graph; red from `limit` on, where there is one."""

    title: str
    expr: str
    unit: str
    legend: str = ""
    limit: float | None = None


_DISKS = '{fstype!~"tmpfs|ramfs|squashfs"}'
_SERVERS = (
    Panel(
        "CPU", '1 - avg by (host) (rate(node_cpu_seconds_total{mode="idle"}[5m]))', "percentunit", "{{host}}"
    ),
    Panel("Load", "node_load1", "none", "{{host}}"),
    Panel("Memory available", "node_memory_MemAvailable_bytes", "bytes", "{{host}}"),
    Panel(
        "Storage left",
        f"node_filesystem_avail_bytes{_DISKS} / node_filesystem_size_bytes{_DISKS}",
        "percentunit",
        "{{host}} {{mountpoint}}",
    ),
    Panel("Storage busy", "rate(node_disk_io_time_seconds_total[5m])", "percentunit", "{{host}} {{device}}"),
    Panel("Network received", "rate(node_netstat_IpExt_InOctets[5m])", "Bps", "{{host}}"),
    Panel("Network sent", "rate(node_netstat_IpExt_OutOctets[5m])", "Bps", "{{host}}"),
    Panel("Network repeats", "rate(node_netstat_Tcp_RetransSegs[5m])", "pps", "{{host}}"),
    Panel(
        "Requests at the gateways",
        "rate(haproxy_frontend_http_requests_total[5m])",
        "reqps",
        "{{host}} {{proxy}}",
    ),
    Panel("Sessions at the gateways", "haproxy_frontend_current_sessions", "none", "{{host}} {{proxy}}"),
    Panel("Servers behind the gateways", "haproxy_backend_active_servers", "none", "{{host}} {{proxy}}"),
    Panel("PostgreSQL answers", "pg_up", "bool_yes_no", "{{host}}"),
    Panel(
        "PostgreSQL connections",
        "sum by (host, state) (pg_stat_activity_count)",
        "none",
        "{{host}} {{state}}",
    ),
    Panel(
        "PostgreSQL commits",
        "sum by (host) (rate(pg_stat_database_xact_commit[5m]))",
        "ops",
        "{{host}}",
    ),
    Panel("PostgreSQL size", "sum by (host) (pg_database_size_bytes)", "bytes", "{{host}}"),
    Panel("Clients of PgBouncer", "dr_pgbouncer_clients", "none", "{{host}} {{state}}"),
    Panel("Redis running", "redis_up", "bool_yes_no", "{{host}}"),
    Panel("Redis replicas", "redis_connected_slaves", "none", "{{host}}"),
    Panel("Redis memory", "redis_memory_used_bytes", "bytes", "{{host}}"),
    Panel("Redis commands", "rate(redis_commands_processed_total[5m])", "ops", "{{host}}"),
    Panel("Prefect's CPU", 'rate(process_cpu_seconds_total{job="prefect"}[5m])', "percentunit", "{{host}}"),
)


def dashboard(plan: Plan, name: str) -> dict[str, Any]:
    """One dashboard as Grafana's provisioning reads it."""
    panels = {"infrastructure": _infrastructure, "application": _application, "business": _business}[name](
        plan
    )
    return {
        "uid": f"{plan.service.name}-{name}"[:40],
        "title": f"{plan.service.name}: {name}",
        "tags": ["disaster-recovery"],
        "schemaVersion": 39,
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_drawn(panel, place) for place, panel in enumerate(panels)],
    }


def contact_points(plan: Plan) -> dict[str, Any]:
    """Grafana's own alerts go through the channel that the plan names."""
    channel, notifications = plan.monitoring.metrics.grafana.alerting.channel, plan.notifications
    settings: dict[str, Any]
    if channel == "email" and notifications.email:
        settings = {"addresses": notifications.email.to}
    else:
        file = f"$__file{{/etc/grafana/{SECRET_FILES['slack' if channel == 'slack' else 'pagerduty']}}}"
        settings = {"url" if channel == "slack" else "integrationKey": file}
    receiver = {"uid": f"dr-{channel}", "type": channel, "settings": settings}
    return {"apiVersion": 1, "contactPoints": [{"name": channel, "receivers": [receiver]}]}


def _infrastructure(plan: Plan) -> tuple[Panel, ...]:
    rpo = plan.tier.rpo.total_seconds()
    return (
        Panel("Sites", "dr_site_healthy", "bool_yes_no", "{{site}}"),
        Panel("Sites that see a leader", "sum(etcd_server_has_leader)", "none"),
        Panel("PostgreSQL running", "patroni_postgres_running", "bool_yes_no", "{{host}}"),
        Panel("PostgreSQL primary", "patroni_primary", "bool_yes_no", "{{host}}"),
        Panel("Replication lag", "dr_replication_lag_seconds", "s", "{{site}}", rpo),
        Panel("WAL arrived", "time() - dr_wal_last_arrival_timestamp_seconds", "s", "{{site}}", rpo),
        Panel("Age of backups", f"time() - {_LAST_BACKUP}", "s", "{{backup}} {{asset}} {{site}}"),
        Panel("Size of backups", "dr_backup_size_bytes", "bytes", "{{backup}} {{asset}} {{site}}"),
        Panel("Recoverable points", "dr_backup_points", "none", "{{asset}} {{site}}"),
        Panel("Not recoverable", _NOT_RECOVERABLE, "none", "{{asset}} {{site}} {{state}}", 1),
        Panel("Since verified", "time() - dr_verified_timestamp_seconds", "s", "{{asset}} {{site}}"),
        Panel("Damages found", "dr_verified_damages", "none", "{{asset}} {{site}}", 1),
        Panel("Since copied", f"time() - {_LAST_COPY}", "s", "{{repository}} {{source}} to {{target}}"),
        Panel("Conflicts", "dr_replication_conflicts", "none", "{{repository}} {{source}} to {{target}}", 1),
        Panel("WAL findings", "dr_wal_check_red", "none", "{{site}}", 1),
        Panel("Segments that wait", "dr_wal_waiting_segments", "none"),
        Panel("Not covered", "dr_coverage_findings", "none", "{{severity}}", 1),
        Panel("Expiry frozen", "dr_expiry_frozen", "bool_yes_no"),
        *_SERVERS,
        Panel("Age of what is shown", f"time() - {_LAST_MEASURED}", "s", "{{part}}", 300),
    )


def _application(plan: Plan) -> tuple[Panel, ...]:
    check = plan.high_availability.failover.health_checks[0]
    limit = check.timeout.total_seconds()
    return (
        Panel("Public endpoint answers", "dr_probe_success", "bool_yes_no"),
        Panel("Response time", "dr_probe_duration_seconds", "s", limit=limit),
        Panel("Failed requests, an hour", "1 - avg_over_time(dr_probe_success[1h])", "percentunit"),
    )


def _business(plan: Plan) -> tuple[Panel, ...]:
    budget = f"{1 - plan.tier.availability:f}"
    spent = (
        f"(1 - avg_over_time(dr_probe_success[30d])) / {budget}" if float(budget) else "1 - dr_probe_success"
    )
    rto, rpo = plan.tier.rto.total_seconds(), plan.tier.rpo.total_seconds()
    return (
        Panel("Availability, 30 days", "avg_over_time(dr_probe_success[30d])", "percentunit"),
        Panel("Error budget spent, 30 days", spent, "percentunit", limit=1),
        Panel("Recovery point now", "dr_recovery_point_age_seconds", "s", limit=rpo),
        Panel("Last measured RTO", "dr_recovery_duration_seconds", "s", limit=rto),
        Panel("Last measured RPO", "dr_recovery_loss_seconds", "s", limit=rpo),
        Panel("Since the last drill", "time() - dr_drill_last_success_timestamp_seconds", "s", "{{drill}}"),
    )


def _drawn(panel: Panel, place: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    x, y = place * _WIDTH % _COLUMNS, place * _WIDTH // _COLUMNS * _HEIGHT
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "targets": [{"refId": "A", "expr": panel.expr, "legendFormat": panel.legend or panel.title}],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
    }
