"""Every YAML block of the seed document parses verbatim and keeps its meaning."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from deployments.plan_commands import app
from tasks.plan.plan import Plan

SEED = Path(__file__).parent / "seed"
MANIFESTS = {"DestinationRule", "VirtualService"}
BLOCKS = sorted({file.stem for file in SEED.iterdir()} - MANIFESTS)


def block(name):
    data = yaml.safe_load((SEED / f"{name}.yaml").read_text())[name]
    return TypeAdapter(Plan.__annotations__[name]).validate_python(data)


@pytest.mark.parametrize("name", BLOCKS)
def test_block_alone_is_a_good_fragment(name):
    result = CliRunner().invoke(app, ["check", "--fragment", str(SEED / f"{name}.yaml")])
    assert result.exit_code == 0, result.output
    assert result.output == f"{name}.yaml is good: {name}\n"


def test_all_blocks_together_are_a_good_fragment(check):
    code, lines = check(b"\n".join((SEED / f"{name}.yaml").read_bytes() for name in BLOCKS), "--fragment")
    assert code == 0, lines


def test_shipped_plan_holds_the_seed_verbatim(good):
    good["dr_testing"].pop("full_failover")
    for name in BLOCKS:
        assert good[name] == yaml.safe_load((SEED / f"{name}.yaml").read_text())[name]


def test_high_availability():
    found = block("high_availability")
    assert (found.zones.primary, found.zones.secondary) == ("us-east-1a", ("us-east-1b", "us-east-1c"))
    assert found.failover.detection_timeout == timedelta(seconds=30)
    assert found.failover.failover_time == timedelta(minutes=2)
    assert found.failover.automatic is True
    [check] = found.failover.health_checks
    assert (check.endpoint, check.retries) == ("/health", 3)
    assert (check.interval, check.timeout) == (timedelta(seconds=10), timedelta(seconds=5))
    assert found.load_balancing.algorithm == "least_connections"
    assert found.load_balancing.sticky_sessions is False
    assert found.load_balancing.health_check_grace_period == timedelta(minutes=1)


def test_postgresql_ha():
    found = block("postgresql_ha")
    assert found.cluster_name == "naas-postgres"
    assert [node.name for node in found.nodes.all] == [
        "postgres-primary",
        "postgres-replica-1",
        "postgres-replica-2",
    ]
    assert [node.zone for node in found.nodes.all] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert {node.instance_type for node in found.nodes.all} == {"db.r5.2xlarge"}
    assert [node.replication for node in found.nodes.replicas] == ["synchronous", "asynchronous"]
    assert found.failover.automatic is True
    assert found.failover.promotion_timeout == timedelta(seconds=60)
    assert found.failover.patroni_timings == (20, 2, 3)


def test_sla_tiers():
    tiers = block("sla_tiers")
    assert list(tiers) == ["standard", "premium", "enterprise"]
    assert [tier.rto for tier in tiers.values()] == [
        timedelta(hours=4),
        timedelta(hours=1),
        timedelta(minutes=30),
    ]
    assert [tier.rpo for tier in tiers.values()] == [
        timedelta(hours=1),
        timedelta(minutes=15),
        timedelta(minutes=5),
    ]
    ratios = [tier.availability for tier in tiers.values()]
    assert ratios == [Decimal("0.999"), Decimal("0.9995"), Decimal("0.9999")]
    assert [tier.support.hours for tier in tiers.values()] == ["business hours", "24/7", "24/7"]
    assert [tier.support.dedicated_tam for tier in tiers.values()] == [False, False, True]


def test_backup_strategy():
    found = block("backup_strategy")
    full, incremental = found.database.full_backup, found.database.incremental_backup
    assert (full.schedule.cron, full.schedule.timezone) == ("0 2 * * *", "UTC")
    assert full.schedule.interval == timedelta(days=1)
    assert full.retention == timedelta(days=30)
    assert (incremental.schedule.cron, incremental.retention) == ("0 */4 * * *", timedelta(days=7))
    assert incremental.schedule.interval == timedelta(hours=4)
    assert found.database.wal_archiving.enabled is True
    assert found.database.wal_archiving.retention == timedelta(days=7)
    assert (found.filesystem.schedule.cron, found.filesystem.retention) == ("0 3 * * *", timedelta(days=14))
    assert (found.filesystem.compression, found.filesystem.encryption) == (True, True)
    assert (found.configuration.schedule.cron, found.configuration.schedule.event) == (None, "change")
    assert (found.configuration.retention, found.configuration.versioning) == (timedelta(days=90), True)


@pytest.mark.parametrize("name", ["disaster_recovery", "continuity_strategies"])
def test_runbook_lists_keep_their_order(name):
    written = yaml.safe_load((SEED / f"{name}.yaml").read_text())[name]
    found = block(name)
    for phase, steps in written.items():
        pairs = [(step.name, step.description) for step in getattr(found, phase)]
        assert pairs == [pair for step in steps for pair in step.items()]


def test_disaster_recovery_execution():
    steps = [step.name for step in block("disaster_recovery").execution]
    assert steps == [
        "infrastructure_activation",
        "data_restoration",
        "service_validation",
        "traffic_redirection",
    ]


def test_communication_templates():
    found = block("communication_templates")
    assert found.resolution_notification.placeholders == {
        "service_name",
        "resolution_time",
        "root_cause_summary",
        "resolution_summary",
    }
    values = dict.fromkeys(found.incident_notification.placeholders, "?") | {
        "service_name": "naas [eu]",
        "start_time": "noon",
    }
    subject, text = found.incident_notification.fill(values)
    assert subject == "Service Disruption - naas [eu]"
    assert text.startswith("We are currently experiencing an issue with naas [eu] that began at noon.\n")


def test_dr_testing():
    found = block("dr_testing")
    assert list(found.drills()) == ["backup_restoration", "failover_testing", "full_dr_exercise"]
    assert [drill.frequency.cron for drill in found.drills().values()] == [
        "0 6 1 * *",
        "0 6 8 1,4,7,10 *",
        "0 6 22 1 *",
    ]
    assert found.backup_restoration.scope == "database and critical data"
    assert found.backup_restoration.rolls_back is True
    assert found.failover_testing.duration == timedelta(hours=4)
    assert found.full_dr_exercise.stakeholders == "all business units"
    assert found.full_dr_exercise.validation == "business process continuity"


def test_monitoring():
    found = block("monitoring")
    prometheus, grafana = found.metrics.prometheus, found.metrics.grafana
    assert (prometheus.retention, prometheus.scrape_interval) == (timedelta(days=30), timedelta(seconds=15))
    assert prometheus.alerting_rules == "custom_rules.yml"
    assert grafana.dashboards == ("infrastructure", "application", "business")
    assert grafana.alerting.channel == "pagerduty"
    elasticsearch = found.logging.elasticsearch
    assert (elasticsearch.retention, elasticsearch.indices.every) == (timedelta(days=90), timedelta(days=1))
    assert elasticsearch.replicas == 2
    assert found.logging.kibana.dashboards == ("security", "application", "audit")
    assert found.logging.kibana.access_control == "role-based"
    jaeger = found.tracing.jaeger
    assert (jaeger.sampling_rate, jaeger.retention) == (Decimal("0.001"), timedelta(days=7))
    assert jaeger.storage == "elasticsearch"


def test_alerting():
    found = block("alerting")
    critical = [(level.level, level.recipient, level.timeout) for level in found.escalation_policies.critical]
    assert critical == [
        (1, "on_call_engineer", timedelta(minutes=5)),
        (2, "engineering_manager", timedelta(minutes=15)),
        (3, "cto", timedelta(minutes=30)),
    ]
    warning = found.escalation_policies.warning
    assert [level.recipient for level in warning] == ["engineering_team_slack", "engineering_manager"]
    assert [level.channel for level in warning] == ["slack", None]
    assert [found.carrying(severity) for severity in ("critical", "warning", "info")] == [
        ["pagerduty"],
        ["slack"],
        ["slack"],
    ]
    assert [channel.summaries for channel in found.notification_channels] == [None, None, "daily"]


def test_mesh_holds_the_manifests_values(good):
    rule, service = (
        yaml.safe_load((SEED / f"{kind}.yaml").read_text()) for kind in ("DestinationRule", "VirtualService")
    )
    mesh = good["mesh"]
    outliers = rule["spec"]["trafficPolicy"]["outlierDetection"]
    [http] = service["spec"]["http"]
    assert mesh["host"] == rule["spec"]["host"]
    assert mesh["circuit_breaker"]["name"] == rule["metadata"]["name"]
    assert mesh["circuit_breaker"]["outlier_detection"] == {
        "consecutive_errors": outliers["consecutiveErrors"],
        "interval": f"{outliers['interval'][:-1]} seconds",
        "base_ejection_time": f"{outliers['baseEjectionTime'][:-1]} seconds",
        "max_ejection": f"{outliers['maxEjectionPercent']}%",
    }
    assert ",".join(mesh["retry_policy"]["retry_on"]) == http["retries"]["retryOn"]
    assert mesh["retry_policy"]["attempts"] == http["retries"]["attempts"]
