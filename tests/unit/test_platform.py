"""What is rendered around the servers follows the plan."""

import json
import re
from pathlib import Path

import pytest
import yaml

from infra.lab.home import Home, lab_plan
from infra.platform.metrics import EXPORTED_BY_OTHERS, MEASURED
from infra.platform.render import platform_files, platform_secrets
from infra.tree import write_all
from tasks.clients.running_configuration import EDGE
from tasks.errors import Refused
from tasks.plan.load import load_plan
from tasks.plan.monitoring import LOG_DASHBOARDS
from tasks.policy.expected import expected

ROOT = Path(__file__).parents[2]
SEED = ROOT / "tests" / "unit" / "plan" / "seed"
PLANS = {
    "shipped": ROOT / "deployments" / "plan.yaml",
    "other": ROOT / "tests" / "unit" / "plan" / "other_plan.yaml",
}


def read(files, path):
    if path.endswith(".ndjson"):
        return [json.loads(line) for line in files[path].splitlines()]
    return json.loads(files[path]) if path.endswith(".json") else yaml.safe_load(files[path])


@pytest.fixture(scope="module", params=PLANS)
def rendered(request):
    plan = load_plan(PLANS[request.param])
    return plan, platform_files(plan)


@pytest.fixture(scope="module")
def shipped():
    return platform_files(load_plan(PLANS["shipped"]))


def rules_of(plan, files):
    path = f"prometheus/{plan.monitoring.metrics.prometheus.alerting_rules}"
    return [rule for group in read(files, path)["groups"] for rule in group["rules"]]


def bare(rule):
    """A rule's expression without what else explains it."""
    return rule["expr"].partition(" unless ")[0]


def metrics_in(expr):
    """The metric names of an expression: its words that are no function, label or number."""
    words = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\b(on|without|by) \([^)]*\)', "", expr)
    return set(re.findall(r"[a-z][A-Za-z0-9_]*(?![A-Za-z0-9_]* ?\()", words)) - {
        "and",
        "or",
        "unless",
        "by",
        "max",
        "avg",
        "sum",
    }


def test_files_of_the_shipped_plan(shipped):
    assert set(shipped) == {
        "prometheus/prometheus.yml",
        "prometheus/prometheus.default",
        "prometheus/custom_rules.yml",
        "alertmanager/alertmanager.yml",
        "grafana/dashboards/infrastructure.json",
        "grafana/dashboards/application.json",
        "grafana/dashboards/business.json",
        "grafana/alerting/contact-points.yaml",
        "elasticsearch/lifecycle.json",
        "elasticsearch/index-template.json",
        "elasticsearch/shipper-api-key.json",
        *(f"kibana/{kind}/{name}.json" for kind in ("spaces", "roles") for name in LOG_DASHBOARDS),
        *(f"kibana/saved-objects/{name}.ndjson" for name in LOG_DASHBOARDS),
        "jaeger/sampling.json",
        "jaeger/lifecycle.json",
        "istio/destination-rule.yaml",
        "istio/virtual-service.yaml",
        "envoy/envoy.yaml",
        "cloudformation/parameters.json",
    }


def test_every_file_is_read_back_as_its_format(rendered):
    _, files = rendered
    for path in files:
        assert read(files, path), path


def test_nothing_of_the_shipped_plan_is_left_in_another(rendered):
    plan, files = rendered
    if plan.service.name == "ledger":
        text = "\n".join(files.values())
        assert not re.search(r"us-(east|west)|eu-west|naas|127\.(?!0\.0\.1\b)", text)
        assert "grafana/dashboards/application.json" not in files
        assert "prometheus/ledger.yaml" in files


def test_istio_is_the_seeds_with_todays_names(shipped):
    rule = yaml.safe_load((SEED / "DestinationRule.yaml").read_text())
    outliers = rule["spec"]["trafficPolicy"]["outlierDetection"]
    outliers["consecutive5xxErrors"] = outliers.pop("consecutiveErrors")
    rule["apiVersion"] = "networking.istio.io/v1"
    assert read(shipped, "istio/destination-rule.yaml") == rule
    service = yaml.safe_load((SEED / "VirtualService.yaml").read_text())
    service["apiVersion"] = "networking.istio.io/v1"
    service["spec"]["hosts"] = ["naas-api-service"]
    service["spec"]["http"][0]["route"] = [{"destination": {"host": "naas-api-service"}}]
    assert read(shipped, "istio/virtual-service.yaml") == service


def test_logs_and_traces(shipped):
    phases = read(shipped, "elasticsearch/lifecycle.json")["policy"]["phases"]
    assert phases["delete"]["min_age"] == f"{91 * 24 * 3600}s"
    settings = read(shipped, "elasticsearch/index-template.json")["template"]["settings"]
    assert settings["index.number_of_replicas"] == 2
    assert read(shipped, "jaeger/sampling.json")["default_strategy"] == {
        "type": "probabilistic",
        "param": 0.001,
    }
    assert (
        read(shipped, "jaeger/lifecycle.json")["policy"]["phases"]["delete"]["min_age"] == f"{7 * 24 * 3600}s"
    )


def test_prometheus_scrapes_every_exporter_of_the_plan(rendered):
    plan, files = rendered
    config = read(files, "prometheus/prometheus.yml")
    expected = {
        f"{address}:{port}"
        for site in plan.sites.values()
        for program, port in (
            ("control", 9469),
            ("postgres", 8008),
            ("postgres", 9187),
            ("etcd", 2379),
            ("control", 9093),
            ("gateway", 8405),
            ("control", 4200),
        )
        for address in site.addresses(program)
    } | {
        at
        for site in plan.sites.values()
        for at in (
            *(f"redis://{address}:6379" for address in site.addresses("redis")),
            *(f"{host.address}:9100" for host in site.hosts.values()),
        )
    }
    found = [
        target
        for job in config["scrape_configs"]
        for part in job["static_configs"]
        for target in part["targets"]
    ]
    assert sorted(found) == sorted(expected)
    assert {job["job_name"]: job.get("honor_labels", False) for job in config["scrape_configs"]} == {
        "dr": True, "patroni": False, "etcd": False, "alertmanager": False, "haproxy": False,
        "node": False, "postgresql": False, "redis": False, "prefect": False,
    }  # fmt: skip
    assert config["rule_files"] == [plan.monitoring.metrics.prometheus.alerting_rules]
    scrape = plan.monitoring.metrics.prometheus.scrape_interval.total_seconds()
    assert config["global"]["scrape_interval"] == f"{scrape:g}s"


def test_thresholds_of_the_shipped_plan(shipped):
    rules = rules_of(load_plan(PLANS["shipped"]), shipped)
    found = {(rule["alert"], rule["labels"]["severity"]): bare(rule) for rule in rules}
    assert found["RecoveryPointAtRisk", "warning"] == "dr_recovery_point_age_seconds > 450"
    assert found["RecoveryPointAtRisk", "critical"] == "dr_recovery_point_age_seconds > 720"
    burns = [bare(rule) for rule in rules if rule["alert"] == "ErrorBudgetBurn"]
    assert burns[0] == (
        "(1 - avg_over_time(dr_probe_success[1h])) > 0.0072 and "
        "(1 - avg_over_time(dr_probe_success[5m])) > 0.0072"
    )
    overdue = [rule["expr"].rpartition(" ")[2] for rule in rules if rule["alert"] == "BackupOverdue"]
    # Full, incremental, files, Redis, secrets, the monthly archive; the configuration follows changes.
    assert overdue == [str(hours * 3600) for hours in (30, 48, 5, 8, 30, 48, 5, 8, 30, 48, 31 * 30, 31 * 48)]


def test_every_promise_has_its_rule(rendered):
    plan, files = rendered
    rules = rules_of(plan, files)

    def labels(alert, label):
        return {rule["labels"][label] for rule in rules if rule["alert"] == alert}

    assert labels("SiteUnhealthy", "site") == labels("WalArchiveStale", "site") == set(plan.sites)
    assert labels("DrillOverdue", "drill") == set(plan.dr_testing.drills())
    timed = {
        path.rpartition(".")[2]
        for path, backup in plan.backup_strategy.scheduled().items()
        if backup.schedule.cron
    }
    assert labels("BackupOverdue", "backup") == timed | {"redis", "secrets", "archive"}
    assert labels("BackupNotRecoverable", "state") == {"late", "missing", "damaged", "unknown"}
    assert {"ReplicationLagging", "NotWatched", "ConsensusLost"} <= {rule["alert"] for rule in rules}


def test_rules_are_told_apart_by_their_labels(rendered):
    rules = rules_of(*rendered)
    keys = [(rule["alert"], tuple(sorted(rule["labels"].items()))) for rule in rules]
    assert len(set(keys)) == len(keys)


def test_unknown_is_not_healthy(rendered):
    rules = rules_of(*rendered)
    unmeasured = {bare(rule) for rule in rules if rule["alert"] == "NotMeasured"}
    selectors = {
        found
        for rule in rules
        if rule["alert"] != "NotMeasured"
        for found in re.findall(r"(?:dr|etcd)_\w+(?:\{[^}]*\})?", bare(rule))
    }
    assert unmeasured == {f"absent({selector})" for selector in selectors}


def test_rules_and_dashboards_rest_on_metrics_that_somebody_exports(rendered):
    plan, files = rendered
    expressions = [rule["expr"] for rule in rules_of(plan, files)]
    for name in plan.monitoring.metrics.grafana.dashboards:
        for panel in read(files, f"grafana/dashboards/{name}.json")["panels"]:
            expressions += [target["expr"] for target in panel["targets"]]
    used = set().union(*map(metrics_in, expressions))
    assert used <= MEASURED.keys() | EXPORTED_BY_OTHERS
    assert metrics_in('rate(dr_misspelt{site="a"}[5m]) > 3') == {"dr_misspelt"}


def test_panels_do_not_overlap(rendered):
    plan, files = rendered
    for name in plan.monitoring.metrics.grafana.dashboards:
        grids = [panel["gridPos"] for panel in read(files, f"grafana/dashboards/{name}.json")["panels"]]
        assert len({(grid["x"], grid["y"]) for grid in grids}) == len(grids)
        assert all(grid["x"] + grid["w"] <= 24 for grid in grids)


def reached(routes, severity):
    """The receivers that an alert reaches, with the wait before each, as Alertmanager routes."""
    for route in routes:
        if route.get("matchers", [f'severity="{severity}"']) == [f'severity="{severity}"']:
            yield route["receiver"], route.get("group_wait")
            if not route.get("continue"):
                return


def test_each_level_waits_for_the_levels_before_it(shipped):
    config = read(shipped, "alertmanager/alertmanager.yml")
    routes = config["route"]["routes"]
    assert list(reached(routes, "critical")) == [
        ("email-summary", "86400s"),
        ("critical-1-on_call_engineer", "0s"),
        ("critical-2-engineering_manager", "300s"),
        ("critical-3-cto", "1200s"),
    ]
    assert list(reached(routes, "warning")) == [
        ("email-summary", "86400s"),
        ("warning-1-engineering_team_slack", "0s"),
        ("warning-2-engineering_manager", "1800s"),
    ]
    assert list(reached(routes, "info")) == [("email-summary", "86400s"), ("info", None)]


def test_receivers_use_the_channels_that_carry_their_severity(rendered):
    plan, files = rendered
    config = read(files, "alertmanager/alertmanager.yml")
    receivers = {receiver["name"]: receiver.keys() - {"name"} for receiver in config["receivers"]}
    routed = {route["receiver"] for route in config["route"]["routes"]}
    assert routed <= receivers.keys()
    assert all(receivers.values())
    for name, kinds in receivers.items():
        if name.startswith("critical"):
            assert kinds == {f"{channel}_configs" for channel in plan.alerting.carrying("critical")}


def test_alerts_go_where_the_plan_says_and_as_it_says(tmp_path):
    document = yaml.safe_load(PLANS["shipped"].read_text())
    document["notifications"]["pagerduty"]["endpoint"] = "https://proxy.example:8443"
    document["notifications"]["email"] |= {
        "smarthost": "mail.example:587", "user": "dr", "password": "env:MAIL"
    }  # fmt: skip
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(document))
    plan = load_plan(tmp_path / "plan.yaml")
    config = read(platform_files(plan), "alertmanager/alertmanager.yml")
    named = {receiver["name"]: receiver for receiver in config["receivers"]}
    [page] = named["critical-2-engineering_manager"]["pagerduty_configs"]
    assert (page["url"], page["severity"]) == ("https://proxy.example:8443/v2/enqueue", "critical")
    [mail] = named["email-summary"]["email_configs"]
    assert (mail["require_tls"], mail["auth_username"]) == (True, "dr")
    assert platform_secrets(plan)[f"alertmanager/{mail['auth_password_file']}"] == "env:MAIL"


def test_mail_in_clear_stays_on_this_machine(shipped):
    config = read(shipped, "alertmanager/alertmanager.yml")
    [mail] = next(each for each in config["receivers"] if each["name"] == "email-summary")["email_configs"]
    assert (mail["smarthost"], mail["require_tls"]) == ("localhost:25", False)
    assert "auth_username" not in mail


def test_no_secret_is_rendered_and_each_is_named(shipped):
    plan = load_plan(PLANS["shipped"])
    assert platform_secrets(plan) == {
        "prometheus/secrets/prefect_api": "file:secrets/prefect_api",
        "alertmanager/secrets/pagerduty_routing_key": "file:secrets/pagerduty_routing_key",
        "alertmanager/secrets/slack_webhook": "file:secrets/slack_webhook",
        "alertmanager/secrets/notices_token": "file:secrets/notices_token",
    }
    used = set(re.findall(r"_file: (\S+)", shipped["alertmanager/alertmanager.yml"]))
    theirs = {path for path in platform_secrets(plan) if path.startswith("alertmanager/")}
    assert {f"alertmanager/{path}" for path in used} == theirs
    assert "password_file: secrets/prefect_api" in shipped["prometheus/prometheus.yml"]


def test_grafana_alerts_through_the_plans_channel(rendered):
    plan, files = rendered
    [point] = read(files, "grafana/alerting/contact-points.yaml")["contactPoints"]
    assert point["receivers"][0]["type"] == plan.monitoring.metrics.grafana.alerting.channel


def test_stack_parameters(rendered):
    plan, files = rendered
    parameters = read(files, "cloudformation/parameters.json")
    values = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}
    assert len(values) == len(parameters)
    assert all(isinstance(value, str) and value for value in values.values())
    assert values["PrimaryRegion"] == plan.site_of("primary")
    assert values["DrBucket"] == plan.sites[plan.site_of("dr")].storage.bucket
    assert values["SecondaryZones"].split(",") == list(plan.high_availability.zones.secondary)


def test_disasters_reach_the_control_host_where_the_plan_has_a_token_for_it(rendered):
    plan, files = rendered
    config = read(files, "alertmanager/alertmanager.yml")
    named = {receiver["name"]: receiver for receiver in config["receivers"]}
    routes = [route for route in config["route"]["routes"] if route["receiver"] == "notices"]
    if plan.service.name == "ledger":
        assert plan.secrets.notices_token is None
        assert "notices" not in named
        assert routes == []
        return
    [route], [hook] = routes, named["notices"]["webhook_configs"]
    assert config["route"]["routes"][0] == route, "before any route that does not continue"
    assert route["continue"]
    assert route["matchers"] == ['disaster="true"']
    assert hook["url"] == "http://127.2.1.71:4300/notices/alertmanager"
    assert hook["http_config"]["authorization"]["credentials_file"] == "secrets/notices_token"


def with_istio(tmp_path):
    document = yaml.safe_load(PLANS["shipped"].read_text())
    document["service"]["endpoint"]["istio"] = {
        "api": "https://kubernetes.example:6443", "namespace": "production",
        "subsets": {"us-east-1": {"site": "east"}, "us-west-2": {"site": "west"}},
        "token": "env:TOKEN", "ca_certificate": "env:CA",
    }  # fmt: skip
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_plan(file)


def test_istio_has_a_route_and_a_subset_for_each_site_where_it_moves_the_users(tmp_path, shipped):
    plan = with_istio(tmp_path)
    files = platform_files(plan)
    service, rule = (read(files, f"istio/{name}.yaml") for name in ("virtual-service", "destination-rule"))
    assert service["spec"]["http"][0]["route"] == [
        {"destination": {"host": "naas-api-service", "subset": "us-east-1"}, "weight": 100},
        {"destination": {"host": "naas-api-service", "subset": "us-west-2"}, "weight": 0},
    ]
    assert rule["spec"]["subsets"] == [
        {"name": "us-east-1", "labels": {"site": "east"}}, {"name": "us-west-2", "labels": {"site": "west"}},
    ]  # fmt: skip
    assert service["metadata"]["namespace"] == rule["metadata"]["namespace"] == "production"
    before = read(shipped, "istio/virtual-service.yaml")
    assert {**service["spec"]["http"][0], "route": None} == {**before["spec"]["http"][0], "route": None}


def test_there_is_no_haproxy_where_something_else_moves_the_users(tmp_path):
    plan = with_istio(tmp_path)
    write_all(plan, tmp_path / "out", secrets=False)
    assert (tmp_path / "out/istio/virtual-service.yaml").exists()
    assert not (tmp_path / "out/edge").exists()
    assert EDGE not in {each.site for each in expected(plan, "us-east-1")}
    with pytest.raises(Refused, match="no HAProxy"):
        lab_plan(Home(tmp_path / "lab"), tmp_path / "plan.yaml", "loopback")
