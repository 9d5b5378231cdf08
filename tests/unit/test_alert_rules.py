"""The rules by Prometheus' own program: silent where all is well, and for each fault exactly its alerts."""

import re
from pathlib import Path

import pytest
from promtool import DAY, HOUR, LONG_AGO, STEP_MIN, aging, alert, both, measured, tool, verdict

from infra.platform.render import platform_files, platform_secrets
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
PLANS = {
    "shipped": ROOT / "deployments" / "plan.yaml",
    "other": ROOT / "tests" / "unit" / "plan" / "other_plan.yaml",
}


@pytest.fixture(scope="module", params=PLANS)
def rendered(request, tmp_path_factory):
    """A plan's files in a folder, its secrets beside them as a test may know them."""
    plan, folder = load_plan(PLANS[request.param]), tmp_path_factory.mktemp(request.param)
    files = platform_files(plan) | dict.fromkeys(platform_secrets(plan), "https://secret.example/of-a-test\n")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    files = platform_files(load_plan(PLANS["shipped"]))
    (folder / "rules.yml").write_text(files["prometheus/custom_rules.yml"])
    return folder


def test_prometheus_takes_its_configuration_and_its_rules(rendered):
    code, told = tool("promtool", "check", "config", "prometheus.yml", folder=rendered / "prometheus")
    assert code == 0, told
    assert "rules found" in told


def test_alertmanager_takes_its_configuration(rendered):
    code, told = tool("amtool", "check-config", "alertmanager.yml", folder=rendered / "alertmanager")
    assert code == 0, told


@pytest.mark.parametrize(
    ("severity", "receivers"),
    [
        ("critical", ["critical-1-on_call_engineer", "critical-2-engineering_manager", "critical-3-cto"]),
        ("warning", ["warning-1-engineering_team_slack", "warning-2-engineering_manager"]),
        ("info", ["info"]),
    ],
)
def test_alertmanager_tells_whom_the_plan_names(tmp_path, severity, receivers):
    files = platform_files(load_plan(PLANS["shipped"]))
    (tmp_path / "alertmanager.yml").write_text(files["alertmanager/alertmanager.yml"])
    verify = f"--verify.receivers={','.join(['email-summary', *receivers])}"
    argv = ("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", verify)
    code, told = tool(*argv, f"severity={severity}", folder=tmp_path)
    assert code == 0, told


def test_nothing_fires_where_all_is_well(shipped):
    code, told = verdict(shipped, measured(shipped), 1500, [])
    assert code == 0, told


VANTAGES = ("us-west-2", "eu-west-1")
FAULTS = {
    "half of the promised loss": ({"dr_recovery_point_age_seconds": "500x110"}, [
        alert("RecoveryPointAtRisk", "warning")]),
    "nearly all of it": ({"dr_recovery_point_age_seconds": "800x110"}, both("RecoveryPointAtRisk")),
    "the standby is behind": ({'dr_replication_lag_seconds{site="us-west-2"}': "70x110"}, [
        alert("ReplicationLagging", "warning", site="us-west-2")]),
    "no WAL at the archive": ({'dr_wal_last_arrival_timestamp_seconds{site="eu-west-1"}': LONG_AGO}, [
        alert("WalArchiveStale", "critical", site="eu-west-1")]),
    "WAL archiving is broken": ({"dr_wal_check_red": "2x110"}, [alert("WalArchivingBroken", "critical")]),
    "nobody checks it": ({"dr_wal_check_timestamp_seconds": LONG_AGO}, [alert("WalNotChecked", "critical")]),
    "the disk fills": ({"dr_wal_disk_full_seconds": "3000x110"}, [alert("WalDiskFilling", "warning")]),
    "a full backup is a day old": (
        {'dr_backup_last_success_timestamp_seconds{backup="full_backup"}': aging(DAY)}, []),
    "one is missing": (
        {'dr_backup_last_success_timestamp_seconds{backup="full_backup"}': aging(31 * HOUR)},
        [alert("BackupOverdue", "warning", backup="full_backup")]),
    "two are missing": ({'dr_backup_last_success_timestamp_seconds{backup="full_backup"}': LONG_AGO},
        both("BackupOverdue", backup="full_backup")),
    "no monthly archive": ({'dr_backup_last_success_timestamp_seconds{backup="archive"}': LONG_AGO},
        both("BackupOverdue", backup="archive")),
    "a copy is missing": ({'dr_catalogue_state{state="missing"}': "1x110"}, [
        alert("BackupNotRecoverable", "critical", state="missing")]),
    "a copy is late": ({'dr_catalogue_state{state="late"}': "1x110"}, [
        alert("BackupNotRecoverable", "warning", state="late")]),
    "an object is damaged": ({"dr_verified_damages": "1x110"}, [alert("BackupDamaged", "critical")]),
    "nothing was verified": ({"dr_verified_timestamp_seconds": LONG_AGO}, [
        alert("VerificationOverdue", "warning")]),
    "no copy leaves": ({"dr_replication_last_success_timestamp_seconds": LONG_AGO}, [
        alert("ReplicationStale", "critical")]),
    "a stored object changed": ({"dr_replication_conflicts": "1x110"}, [
        alert("ReplicationConflict", "critical")]),
    "an asset is not covered": ({'dr_coverage_findings{severity="critical"}': "1x110"}, [
        alert("NotCovered", "critical")]),
    "nothing expires": ({"dr_expiry_frozen": "1x110"}, [alert("ExpiryFrozen", "warning")]),
    "no drill has passed": ({'dr_drill_last_success_timestamp_seconds{drill="backup_restoration"}': LONG_AGO},
        [alert("DrillOverdue", "warning", drill="backup_restoration")]),
    "not ready": ({'dr_readiness{standing="NOT READY"}': "1x110"}, [
        alert("NotReady", "critical", standing="NOT READY")]),
    "readiness is not asked": ({"dr_readiness_timestamp_seconds": LONG_AGO}, [
        alert("ReadinessStale", "warning")]),
    "a site is lost": ({'dr_site_healthy{site="us-east-1"}': "0x110"}, [
        alert("SiteUnhealthy", "critical", site="us-east-1")]),
    "the archive site is lost": ({'dr_site_healthy{site="eu-west-1"}': "0x110"}, [
        alert("SiteUnhealthy", "warning", site="eu-west-1")]),
    "a certificate ends in a week": (
        {'dr_certificate_expiry_timestamp_seconds{site="us-west-2"}': aging(-7 * DAY)},
        [alert("CertificateEnding", "warning", site="us-west-2")]),
    "it ends tomorrow": (
        {'dr_certificate_expiry_timestamp_seconds{site="us-west-2"}': aging(-DAY)},
        both("CertificateEnding", site="us-west-2")),
    "nobody watches": ({'up{job="dr"}': "0x110"}, [alert("NotWatched", "critical", job="dr")]),
    "a part is not measured": ({"dr_exporter_last_success_timestamp_seconds": LONG_AGO}, [
        alert("ExporterStale", "critical")]),
    "etcd lost two members": ({f'etcd_server_has_leader{{site="{n}"}}': "0x110" for n in (0, 1)}, [
        alert("ConsensusLost", "critical")]),
    "a vantage is dead": ({'dr_watch_last_look_timestamp_seconds{vantage="us-west-2"}': LONG_AGO}, [
        alert("VantageBlind", "warning", vantage="us-west-2")]),
    "every vantage is dead": (
        {f'dr_watch_last_look_timestamp_seconds{{vantage="{it}"}}': LONG_AGO for it in VANTAGES},
        [
            *(alert("VantageBlind", "warning", vantage=it) for it in VANTAGES),
            alert("NobodyLooks", "critical")]),
    "no worker takes what is due": ({"dr_schedule_late_seconds": "700x110"}, [
        alert("RunsLate", "critical")]),
    "the scheduler plans nothing": ({"dr_schedule_runs_ahead": "0x110"}, [
        alert("NothingScheduled", "critical")]),
    "users are refused": ({"dr_probe_success": "0x110"}, [
        *(alert("ErrorBudgetBurn", "critical", window=window) for window in ("1h", "6h")),
        alert("ErrorBudgetBurn", "warning", window="3d")]),
}  # fmt: skip
"""What is planted, and every alert that must fire a day later."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_sets_off_its_alerts_and_no_others(shipped, fault):
    planted, firing = FAULTS[fault]
    assert planted.keys() <= measured(shipped).keys()
    code, told = verdict(shipped, measured(shipped) | planted, 1500, firing)
    assert code == 0, told


def test_every_rule_has_its_fault(shipped):
    text = (shipped / "rules.yml").read_text()
    planted = {*re.findall(r'alertname="(\w+)"', str(FAULTS))}
    assert {*re.findall(r"alert: (\w+)", text)} == planted | {"NotMeasured", "Untold"}


def test_what_nobody_measures_is_told(shipped):
    series = measured(shipped)
    del series["dr_wal_check_red"]
    firing = alert("NotMeasured", "critical", metric="dr_wal_check_red")
    code, told = verdict(shipped, series, 1500, [firing])
    assert code == 0, told


def test_a_fault_that_passed_is_told_no_more(shipped):
    series = measured(shipped) | {'dr_site_healthy{site="us-east-1"}': "0x2 1x100"}
    lost = alert("SiteUnhealthy", "critical", site="us-east-1")
    assert verdict(shipped, series, 0, [])[0] == 0, "it must last"
    assert verdict(shipped, series, STEP_MIN, [lost])[0] == 0
    assert verdict(shipped, series, 4 * STEP_MIN, [])[0] == 0


def test_promtool_finds_an_alert_that_does_not_fire(shipped):
    code, told = verdict(shipped, measured(shipped), 1500, [alert("BackupDamaged", "critical")])
    assert code != 0
    assert "BackupDamaged" in told
