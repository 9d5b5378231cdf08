"""One page a disaster: what an incident or a planned move explains is silent, for as long as it may last."""

from pathlib import Path

import pytest
import yaml
from promtool import HOUR, LONG_AGO, aging, alert, measured, tool, verdict

from infra.platform.render import platform_files
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
TOLD = 'dr_incident_told_timestamp_seconds{site="us-east-1",channel="%s"}'
MOVED = 'dr_planned_move_timestamp_seconds{site="us-east-1"}'
LOST = {
    'dr_site_healthy{site="us-east-1"}': "0x110",
    "dr_recovery_point_age_seconds": "500x110",
    'dr_wal_last_arrival_timestamp_seconds{site="us-east-1"}': LONG_AGO,
    'dr_readiness{standing="NOT READY"}': "1x110",
    "dr_exporter_last_success_timestamp_seconds": LONG_AGO,
}
"""What a lost site looks like."""
PAGE = alert("SiteUnhealthy", "critical", site="us-east-1")
CONSEQUENCES = [
    alert("RecoveryPointAtRisk", "warning"),
    alert("WalArchiveStale", "critical", site="us-east-1"),
    alert("NotReady", "critical", standing="NOT READY"),
    alert("ExporterStale", "critical"),
]
ESCALATION = {
    "api_token": "file:secrets/pagerduty_api_token", "policy": "naas", "service": "naas-api",
    "recipients": {"on_call_engineer": "schedule PSCHED1", "engineering_manager": "user PMANAGE",
                   "cto": "user PCTO123"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["our ladder", "PagerDuty escalates"])
def rendered(request, tmp_path_factory):
    """The rules, and whether the incident's page stands for ours."""
    folder, alone = tmp_path_factory.mktemp("rules"), request.param == "PagerDuty escalates"
    document = yaml.safe_load((ROOT / "deployments" / "plan.yaml").read_text())
    if alone:
        document["notifications"]["pagerduty"]["escalation"] = ESCALATION
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    files = platform_files(load_plan(folder / "plan.yaml"))
    (folder / "rules.yml").write_text(files["prometheus/custom_rules.yml"])
    return folder, alone


def fires(folder, planted, firing):
    code, told = verdict(folder, measured(folder) | planted, 1500, firing)
    assert code == 0, told


def test_a_lost_site_that_nobody_was_told_of_is_told_with_all_that_follows(rendered):
    fires(rendered[0], LOST, [PAGE, *CONSEQUENCES])


def test_a_lost_site_is_one_page_once_its_incident_was_told(rendered):
    folder, alone = rendered
    fires(folder, LOST | {TOLD % "pagerduty": aging(600)}, [] if alone else [PAGE])


def test_an_incident_that_pagerduty_did_not_take_leaves_ours_to_page(rendered):
    fires(rendered[0], LOST | {TOLD % "slack": aging(600)}, [PAGE])


def test_what_outlasts_the_promised_recovery_is_told_again(rendered):
    fires(rendered[0], LOST | {TOLD % "pagerduty": aging(2 * HOUR)}, [PAGE, *CONSEQUENCES])


def test_another_site_that_is_lost_meanwhile_is_a_page_of_its_own(rendered):
    both = LOST | {TOLD % "pagerduty": aging(600), 'dr_site_healthy{site="us-west-2"}': "0x110"}
    other = alert("SiteUnhealthy", "critical", site="us-west-2")
    fires(rendered[0], both, [other] if rendered[1] else [PAGE, other])


def test_damage_is_told_during_an_incident_too(rendered):
    planted = {TOLD % "pagerduty": aging(600), "dr_verified_damages": "1x110"}
    fires(rendered[0], planted, [alert("BackupDamaged", "critical")])


def test_a_planned_move_pages_nobody_for_what_it_does_itself(rendered):
    fires(rendered[0], LOST | {MOVED: aging(60)}, [])


def test_a_planned_move_that_takes_longer_than_a_failover_may_is_told(rendered):
    fires(rendered[0], LOST | {MOVED: aging(300)}, [PAGE, *CONSEQUENCES])


def untold(folder, failures, firing):
    """What fires three minutes after a site was lost, with PagerDuty's failures so far."""
    requests = 'alertmanager_notification_requests_failed_total{integration="pagerduty"}'
    series = {'dr_site_healthy{site="us-east-1"}': "0x9", requests: failures}
    alerts = [{"labels": f'ALERTS{{alertstate="firing",{labels}}}', "value": 1} for labels in firing]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "4m", "exp_samples": alerts}
        ],
    }
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "untold.yml").write_text(yaml.safe_dump(tests))
    return tool("promtool", "test", "rules", "untold.yml", folder=folder)


def test_what_a_channel_does_not_take_is_an_alert_for_the_others(rendered):
    again = alert("Untold", "critical", site="us-east-1", untold="SiteUnhealthy", channel="pagerduty")
    code, told = untold(rendered[0], "0+1x9", [PAGE, again])
    assert code == 0, told


def test_a_channel_that_takes_everything_needs_no_other(rendered):
    code, told = untold(rendered[0], "7x9", [PAGE])
    assert code == 0, told


def test_the_watchdog_always_fires_where_its_heartbeat_is_wanted(tmp_path):
    document = yaml.safe_load((ROOT / "deployments" / "plan.yaml").read_text())
    document["notifications"]["heartbeat"] = {"url": "https://dead-man.example/naas"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(document))
    files = platform_files(load_plan(tmp_path / "plan.yaml"))
    (tmp_path / "rules.yml").write_text(files["prometheus/custom_rules.yml"])
    fires(tmp_path, {}, [alert("Watchdog", "none")])
    fires(tmp_path, LOST, [alert("Watchdog", "none"), PAGE, *CONSEQUENCES])
