"""The picture of the business impact analysis: every thing once, every need a line."""

import re

import yaml

from infra.lab.home import DEFAULT_PLAN
from tasks.plan.load import load_plan
from tasks.policy.business import impact_page, ordered


def drawn(tmp_path, change=lambda plan: None):
    raw = yaml.safe_load(DEFAULT_PLAN.read_text())
    change(raw)
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(raw))
    plan = load_plan(file)
    return plan, impact_page(plan)


def boxes(page):
    return re.findall(r'<text x="\d+" y="\d+">([^<]+)</text>', page)


def test_each_thing_is_drawn_once_and_each_need_is_a_line(tmp_path):
    _, page = drawn(tmp_path)
    assert boxes(page) == ["take-orders", "answer-customers", "naas-api", "PostgreSQL", "Redis", "assets"]
    # One process needs the other, both the service, and that what it stands on.
    assert page.count('class="need"') == 1 + 2 + 3
    assert page.count('class="box critical"') == 1


def test_a_process_may_have_its_services_name(tmp_path):
    def rename(raw):
        raw["business_impact"]["naas-api"] = raw["business_impact"].pop("take-orders")
        raw["business_impact"]["answer-customers"]["depends_on"] = ["naas-api"]

    _, page = drawn(tmp_path, rename)
    assert boxes(page).count("naas-api") == 2
    assert page.count('class="need"') == 6


def test_processes_come_in_business_order(tmp_path):
    plan, _ = drawn(tmp_path, lambda raw: raw["business_impact"]["take-orders"].update(priority=2))
    assert [name for name, _ in ordered(plan.business_impact)] == ["take-orders", "answer-customers"]


def test_a_plan_without_processes_still_has_a_page(tmp_path):
    _, page = drawn(tmp_path, lambda raw: raw.pop("business_impact"))
    assert boxes(page) == ["naas-api", "PostgreSQL", "Redis", "assets"]
