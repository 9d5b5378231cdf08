"""Further services: an order that can be kept, ports and paths of their own, or the plan is refused."""

import copy
from itertools import pairwise

import pytest
import yaml

from tasks.plan.load import load_plan
from tasks.plan.plan import Plan
from tasks.plan.services import Turn

SERVICES = {
    "billing": {"depends_on": ["naas-api"], "port": 8101, "path": "/billing"},
    "report": {"priority": 2, "depends_on": ["billing"], "port": 8102, "path": "/report", "health": "/ready"},
    "search": {"priority": 3, "port": 8103, "path": "/search"},
}
COMMANDS = {
    "start_service": "ssh {address} sudo systemctl start {service}",
    "stop_service": "kubectl scale -n {site} deployment/{service} --replicas=0",
}


@pytest.fixture
def shop(good):
    good["services"] = copy.deepcopy(SERVICES)
    good["access"] |= COMMANDS
    return good


@pytest.fixture
def load(tmp_path):
    def run(content):
        file = tmp_path / "plan.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_plan(file)

    return run


def test_a_plan_without_further_services_has_one_turn(good, load):
    plan = load(good)
    assert plan.services == {}
    assert plan.turns == {"naas-api": Turn(1, ())}


def test_services_mean_what_they_say(shop, load):
    shop["service"] |= {"priority": 2, "depends_on": ["search"]}
    shop["services"]["search"]["priority"] = 1
    shop["services"]["billing"]["priority"] = 2
    plan = load(shop)
    assert plan.turns == {
        "naas-api": Turn(2, ("search",)),
        "billing": Turn(2, ("naas-api",)),
        "report": Turn(2, ("billing",)),
        "search": Turn(1, ()),
    }
    assert [each.public_health for each in plan.services.values()] == [
        "/billing/health",
        "/report/ready",
        "/search/health",
    ]


def test_plan_is_the_same_when_written_and_read_again(shop, load):
    plan = load(shop)
    written = plan.model_dump(mode="json", exclude_none=True)
    assert Plan.model_validate(written, context={"folder": plan.folder}) == plan


# (the service or block, the key, its value, the path that must be named, words that must be said)
WRONG = [
    ("report", "depends_on", ["mail"], "services.report.depends_on.0", "one of naas-api, billing, search"),
    ("report", "depends_on", ["billing", "billing"], "services.report.depends_on.1", "each service once"),
    ("report", "depends_on", ["search"], "services.report.depends_on.0", "services of priority 2 or before"),
    ("billing", "depends_on", ["billing"], "services.billing.depends_on", "billing needs billing"),
    ("billing", "depends_on", "naas-api", "services.billing.depends_on", "not a list"),
    ("billing", "priority", 0, "services.billing.priority", "greater than or equal to 1"),
    ("billing", "priority", "1", "services.billing.priority", "not an integer"),
    ("billing", "port", 8000, "services.billing.port", "the main service's"),
    ("billing", "port", 8103, "services.search.port", "8103 is billing's"),
    ("billing", "port", 26379, "services.billing.port", "26379 is sentinel's"),
    ("billing", "port", 70000, "services.billing.port", "less than or equal to 65535"),
    ("search", "path", "/billing", "services.search.path", "/billing of billing"),
    ("search", "path", "/billing/find", "services.search.path", "nor one above or below"),
    ("billing", "path", "/search/pay", "services.search.path", "/search/pay of billing"),
    ("search", "path", "/orders/search", "services.search.path", "the main service's /orders"),
    ("search", "path", "/health", "services.search.path", "the main service's /health"),
    ("search", "path", "/", "services.search.path", "'/billing'"),
    ("search", "path", "search", "services.search.path", "'/billing'"),
    ("search", "path", "/search/", "services.search.path", "'/billing'"),
    ("search", "path", "/se.rch", "services.search.path", "'/billing'"),
    ("search", "health", "ready", "services.search.health", "starts with a slash"),
    (
        "search",
        "colour",
        "blue",
        "services.search.colour",
        "one of tier, priority, depends_on, port, path, health",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[3]}-{wrong[4]}")
def test_wrong_service_is_refused_at_its_path(shop, refused, wrong):
    name, key, value, path, words = wrong
    shop["services"][name][key] = value
    refused(shop, path, words)


def test_a_circle_is_named(shop, check):
    shop["service"]["depends_on"] = ["report"]
    shop["services"]["report"]["priority"] = 1
    code, lines = check(shop)
    assert code == 2
    [told] = [line for line in lines if "a circle" in line]
    circle = told.split("a circle: ")[1].split("; ")[0].split(" needs ")
    assert circle[0] == circle[-1]
    needs = {"naas-api": "report", "report": "billing", "billing": "naas-api"}
    assert all(needs[one] == other for one, other in pairwise(circle))
    assert len(circle) == 4


def test_the_main_service_needs_nothing_that_is_not_there(good, check):
    good["service"]["depends_on"] = ["auth"]
    code, lines = check(good)
    assert code == 2
    assert any(line.startswith("service.depends_on.0: there is no service auth") for line in lines), lines


def test_a_service_has_a_name_of_its_own(shop, check):
    shop["services"]["naas-api"] = shop["services"].pop("search")
    assert any("the main service has this name" in line for line in check(shop)[1])


@pytest.mark.parametrize("command", COMMANDS)
def test_services_need_their_commands(shop, check, command):
    shop["access"][command] = "systemctl start everything"
    assert any(line.startswith(f"access.{command}: it names no {{service}}") for line in check(shop)[1])
    shop["access"][command] = "systemctl start {unit}"
    assert any("only {service}, {site}" in line for line in check(shop)[1])
    del shop["access"][command]
    code, lines = check(shop)
    assert code == 2
    assert any(line.startswith(f"access.{command}: missing") for line in lines), lines
