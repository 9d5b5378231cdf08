"""The mesh's manifests fit Istio's own schemas, and a manifest that does not is found out."""

import copy
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml
from istio_schemas import misfits

from infra.platform.surroundings import destination_rule, virtual_service
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
SEED = ROOT / "tests" / "unit" / "plan" / "seed"
PLANS = (
    ROOT / "deployments" / "plan.yaml",
    ROOT / "tests" / "unit" / "plan" / "other_plan.yaml",
    ROOT / "tests" / "lab" / "second_plan.yaml",
)
ISTIO = {
    "api": "https://kubernetes.example:6443", "namespace": "production",
    "subsets": {"us-east-1": {"example.com/site": "east"}, "us-west-2": {"example.com/site": "west"}},
    "token": "env:TOKEN", "ca_certificate": "env:CA",
}  # fmt: skip
OUTLIERS = ("spec", "trafficPolicy", "outlierDetection")
POOL = ("spec", "trafficPolicy", "connectionPool")
HTTP = ("spec", "http", 0)


def by_istio(folder, **balancing):
    """The shipped plan where Istio moves the users."""
    document = yaml.safe_load(PLANS[0].read_text())
    document["service"]["endpoint"]["istio"] = ISTIO
    document["high_availability"]["load_balancing"] |= balancing
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    return load_plan(folder / "plan.yaml")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return by_istio(tmp_path_factory.mktemp("plan"))


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_the_manifests_of_every_plan_fit(file):
    plan = load_plan(file)
    assert [misfits(render(plan)) for render in (destination_rule, virtual_service)] == [[], []]


@pytest.mark.parametrize(
    ("balancing", "rendered"),
    [
        # Istio balances by the least requests where nothing is said.
        ({"algorithm": "least_connections"}, None),
        ({"algorithm": "round_robin"}, {"simple": "ROUND_ROBIN"}),
        ({"algorithm": "random"}, {"simple": "RANDOM"}),
        ({"sticky_sessions": True}, {"consistentHash": {"httpCookie": {"name": "INSTANCE", "ttl": "0s"}}}),
    ],
)
def test_they_fit_with_subsets_routes_and_every_way_to_balance(tmp_path, balancing, rendered):
    plan = by_istio(tmp_path, **balancing)
    rule = destination_rule(plan)
    assert [misfits(rule), misfits(virtual_service(plan))] == [[], []]
    assert rule["spec"]["trafficPolicy"].get("loadBalancer") == rendered


@pytest.mark.parametrize(
    ("render", "place", "value", "found"),
    [
        (destination_rule, (*OUTLIERS, "consecutiveErrors"), 3, "consecutiveErrors: not explained any more"),
        (destination_rule, (*OUTLIERS, "consecutive5xxError"), 3, "consecutive5xxError: unknown"),
        (destination_rule, (*OUTLIERS, "base_ejection_time"), "30s", "base_ejection_time: unknown"),
        (destination_rule, (*OUTLIERS, "maxEjectionPercent"), "50%", "valid integer"),
        (destination_rule, (*OUTLIERS, "consecutive5xxErrors"), -1, "greater than or equal to 0"),
        (destination_rule, (*OUTLIERS, "interval"), 30, "valid string"),
        (destination_rule, (*POOL, "maxConnections"), 100, "maxConnections: unknown"),
        (destination_rule, (*POOL, "http", "maxRequestsPerConnection"), 1.5, "valid integer"),
        (destination_rule, ("spec", "host"), None, "spec.host: Field required"),
        (destination_rule, ("apiVersion",), "networking.istio.io/v1beta1", "networking.istio.io/v1"),
        (virtual_service, (*HTTP, "retry"), {"attempts": 3}, "spec.http.0.retry: unknown"),
        (virtual_service, (*HTTP, "retries", "retryOn"), ["5xx"], "valid string"),
        (virtual_service, (*HTTP, "route", 0, "weight"), "100", "valid integer"),
        (virtual_service, (*HTTP, "route", 1, "destination", "host"), None, "host: Field required"),
        (virtual_service, (*HTTP, "route", 1, "destination"), None, "destination: Field required"),
    ],
)
def test_a_planted_misfit_is_found(plan, render, place, value, found):
    manifest = copy.deepcopy(render(plan))
    assert misfits(manifest) == []
    *way, key = place
    at = reduce(getitem, way, manifest)
    if value is None:
        del at[key]
    else:
        at[key] = value
    [told] = misfits(manifest)
    assert found in told


def test_the_seeds_own_manifests_need_what_is_rendered_otherwise():
    """Its circuit breaker is in words of before: that is why it is not handed on as it is."""
    rule = yaml.safe_load((SEED / "DestinationRule.yaml").read_text())
    [told] = misfits(rule)
    assert told.startswith("apiVersion")
    rule["apiVersion"] = "networking.istio.io/v1"
    assert misfits(rule) == ["spec.trafficPolicy.outlierDetection.consecutiveErrors: not explained any more"]
