"""What moves the users: HAProxy where nothing else is said, Route 53 or Istio where it is, each whole."""

import copy
from decimal import Decimal

import pytest
import yaml

from tasks.errors import Refused
from tasks.plan.load import load_plan
from tasks.plan.plan import Plan

EAST, WEST = "us-east-1", "us-west-2"
AT = "service.endpoint"
ROUTE53 = {
    "zone": "Z0123456789ABCDEFGHIJ",
    "record": "api.example.com",
    "values": {EAST: "192.0.2.1", WEST: "198.51.100.1"},
    "ttl": "60 seconds",
    "credentials": "file:secrets/route53.json",
}
ISTIO = {
    "api": "https://kubernetes.example:6443",
    "namespace": "production",
    "subsets": {EAST: {"topology.istio.io/cluster": "east"}, WEST: {"topology.istio.io/cluster": "west"}},
    "token": "file:secrets/istio_token",
    "ca_certificate": "file:secrets/kubernetes_ca.crt",
}
SHIFT = {"pause": "2 minutes", "error_limit": "1%"}
DRIVERS = {"route53": ROUTE53, "istio": ISTIO}


def with_driver(good, driver, **changes):
    """The shipped plan with a driver; a change to None takes a key away."""
    block = copy.deepcopy(DRIVERS[driver]) | changes
    good["service"]["endpoint"][driver] = {key: value for key, value in block.items() if value is not None}
    return good


@pytest.fixture
def load(tmp_path):
    def run(content):
        file = tmp_path / "plan.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_plan(file)

    return run


def test_haproxy_moves_the_users_where_nothing_is_said(good, load):
    endpoint = load(good).service.endpoint
    assert (endpoint.driver, endpoint.shift) == ("haproxy", None)
    assert tuple(map(str, endpoint.proxy)) == ("127.0.0.10", "8080", "9999")


@pytest.mark.parametrize("driver", DRIVERS)
def test_another_driver_needs_no_haproxy(good, load, driver):
    plan = with_driver(good, driver)
    del plan["service"]["endpoint"]["admin_port"]
    endpoint = load(plan).service.endpoint
    assert endpoint.driver == driver
    with pytest.raises(Refused, match="no HAProxy"):
        _ = endpoint.proxy


def test_users_of_route53_arrive_by_the_records_name(good, load):
    plan = with_driver(good, "route53")
    del plan["service"]["endpoint"]["address"]
    assert load(plan).service.endpoint.url == "http://api.example.com:8080"


def test_users_of_a_mesh_arrive_at_an_address(good, check):
    plan = with_driver(good, "istio")
    del plan["service"]["endpoint"]["address"]
    assert f"{AT}.address: missing; where users arrive" in check(plan)[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_plan_is_the_same_when_written_and_read_again(good, load, driver):
    good["service"]["endpoint"]["shift"] = SHIFT
    plan = load(with_driver(good, driver))
    written = plan.model_dump(mode="json", exclude_none=True)
    assert Plan.model_validate(written, context={"folder": plan.folder}) == plan
    assert written["service"]["endpoint"]["shift"]["steps"] == ["1%", "10%", "50%", "100%"]


def test_the_type_of_a_record_is_that_of_its_answers(good, load):
    assert load(with_driver(good, "route53")).service.endpoint.route53.type == "A"
    names = {EAST: "east.example.com", WEST: "west.example.com"}
    assert load(with_driver(good, "route53", values=names)).service.endpoint.route53.type == "CNAME"


def test_the_steps_of_a_shift_are_the_plans(good, load):
    good["service"]["endpoint"]["shift"] = SHIFT | {"steps": ["5%", "100%"]}
    shift = load(good).service.endpoint.shift
    assert (shift.shares, shift.error_limit) == ((5, 100), Decimal("0.01"))


# (the driver, the key, its value or None for gone, the path that must be named, words that must be said)
WRONG = [
    ("route53", "zone", "/hostedzone/Z1", "route53.zone", "hosted zone's id"),
    ("route53", "record", "api.example.com.", "route53.record", "without a dot"),
    ("route53", "record", "API.example.com", "route53.record", "lower case"),
    ("route53", "ttl", "0 seconds", "route53.ttl", "positive duration"),
    ("route53", "ttl", "2 hours", "route53.ttl", "1 hour"),
    ("route53", "ttl", None, "route53.ttl", "missing"),
    ("route53", "routing", "latency", "route53.routing", "'weighted' or 'failover'"),
    ("route53", "credentials", "AKIAHUNTER2", "route53.credentials", "never the secret"),
    ("route53", "api", "ftp://moto", "route53.api", "http://HOST:PORT"),
    ("route53", "values", {EAST: "192.0.2.1"}, "route53.values", f"{WEST} is missing"),
    ("route53", "values", {EAST: "192.0.2.1", WEST: "192.0.2.1"}, f"route53.values.{WEST}", "of its own"),
    ("route53", "values", {EAST: "192.0.2.1", WEST: "w.example.com"}, "route53.values", "all addresses or"),
    ("route53", "values", {EAST: "192.0.2.1", WEST: "192.0.2"}, f"route53.values.{WEST}", "IPv4 address"),
    (
        "route53", "values", ROUTE53["values"] | {"eu-west-1": "192.0.2.9"}, "route53.values.eu-west-1",
        f"one of {EAST}, {WEST}",
    ),
    ("route53", "colour", "blue", "route53.colour", "one of zone, record, values"),
    ("istio", "api", "http://kubernetes.example", "istio.api", "https://HOST:PORT"),
    ("istio", "api", "https://user:hunter2@kubernetes.example", "istio.api", "https://HOST:PORT"),
    ("istio", "namespace", "Production", "istio.namespace", "lower-case"),
    ("istio", "token", "eyJhbGciOi.hunter2", "istio.token", "never the secret"),
    ("istio", "ca_certificate", None, "istio.ca_certificate", "missing"),
    ("istio", "subsets", {WEST: {"site": "west"}}, "istio.subsets", f"{EAST} is missing"),
    ("istio", "subsets", {EAST: {"site": "a"}, WEST: {"site": "a"}}, f"istio.subsets.{WEST}", f"{EAST}'s"),
    ("istio", "subsets", {EAST: {}, WEST: {"site": "west"}}, f"istio.subsets.{EAST}", "at least one"),
    (
        "istio", "subsets", {EAST: {"site": "x y"}, WEST: {"site": "west"}}, f"istio.subsets.{EAST}.site",
        "label's value",
    ),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[3]}-{wrong[4]}")
def test_a_wrong_value_is_refused_at_its_path(good, check, wrong):
    driver, key, value, path, says = wrong
    code, lines = check(with_driver(good, driver, **{key: value}))
    assert code == 2
    assert any(line.startswith(f"{AT}.{path}: ") and says in line for line in lines), lines
    assert "hunter2" not in "\n".join(lines).lower()


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"steps": ["10%", "1%", "100%"]}, "shift.steps", "rising"),
        ({"steps": ["10%", "10%", "100%"]}, "shift.steps", "rising"),
        ({"steps": ["0%", "100%"]}, "shift.steps", "above 0%"),
        ({"steps": ["1%", "50%"]}, "shift.steps", "the last '100%'"),
        ({"steps": []}, "shift.steps", "at least one"),
        ({"steps": ["0.5%", "100%"]}, "shift.steps.0", "whole ones"),
        ({"pause": "a while"}, "shift.pause", "duration"),
        ({"error_limit": "101%"}, "shift.error_limit", "percentage"),
    ],
)
def test_wrong_steps_are_refused_at_their_path(good, check, changes, path, says):
    good["service"]["endpoint"]["shift"] = SHIFT | changes
    code, lines = check(good)
    assert code == 2
    assert any(line.startswith(f"{AT}.{path}: ") and says in line for line in lines), lines


def test_two_drivers_are_one_too_many(good, check):
    code, lines = check(with_driver(with_driver(good, "route53"), "istio"))
    assert code == 2
    assert lines == [
        f"{AT}.istio: route53 moves the users already; one of route53 and istio, neither for HAProxy"
    ]


def test_a_failover_record_moves_all_users_at_once(good, check):
    good["service"]["endpoint"]["shift"] = SHIFT
    assert check(with_driver(good, "route53"))[0] == 0
    code, lines = check(with_driver(good, "route53", routing="failover"))
    assert (code, [line.split(":")[0] for line in lines]) == (2, [f"{AT}.shift"])


def test_a_failover_record_knows_two_sites(good, check):
    hosts = good["sites"]["eu-west-1"]["hosts"]
    hosts["gateway-archive"] = {"address": "127.3.1.31", "zone": "eu-west-1a", "runs": ["gateway"]}
    values = ROUTE53["values"] | {"eu-west-1": "203.0.113.1"}
    assert check(with_driver(good, "route53", values=values))[0] == 0
    code, lines = check(with_driver(good, "route53", values=values, routing="failover"))
    assert (code, [line.split(":")[0] for line in lines]) == (2, [f"{AT}.route53.values"])


def test_a_step_is_watched_until_users_follow_it(good, check):
    good["service"]["endpoint"]["shift"] = SHIFT
    assert check(with_driver(good, "route53", ttl="2 minutes"))[0] == 0
    code, lines = check(with_driver(good, "route53", ttl="3 minutes"))
    assert (code, [line.split(":")[0] for line in lines]) == (2, [f"{AT}.shift.pause"])


def test_a_step_is_watched_until_haproxy_has_let_a_site_start(good, check):
    good["service"]["endpoint"]["shift"] = SHIFT | {"pause": "30 seconds"}
    code, lines = check(good)
    assert (code, [line.split(":")[0] for line in lines]) == (2, [f"{AT}.shift.pause"])
    assert check(with_driver(good, "istio"))[0] == 0, "Istio starts no site slowly"
