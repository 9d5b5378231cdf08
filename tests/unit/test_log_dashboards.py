"""What Kibana shows is mapped by Elasticsearch and written by us; and everybody reads what is theirs."""

import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from bulk_receiver import API_KEY, elasticsearch

from deployments.shipper import Naming, Shipper
from infra.platform import logs
from infra.platform.logs import index_template, log_lifecycle, reader_role, saved_objects, shipper_key, space
from tasks.clients.elasticsearch import Cluster, index_of
from tasks.clients.telemetry.labels import labelled
from tasks.clients.telemetry.lines import DailyFile, JsonFormatter, told
from tasks.plan.load import load_plan
from tasks.plan.monitoring import LOG_DASHBOARDS

ROOT = Path(__file__).parents[2]
PLANS = [ROOT / "deployments" / "plan.yaml", ROOT / "tests" / "unit" / "plan" / "other_plan.yaml"]
# The attributes that Kibana knows of each kind (its plugins' saved object schemas); it refuses others.
ATTRIBUTES = {
    "index-pattern": {"title", "timeFieldName"},
    "visualization": {"title", "visState", "uiStateJSON", "kibanaSavedObjectMeta"},
    "search": {"title", "columns", "sort", "kibanaSavedObjectMeta"},
    "dashboard": {
        "title", "panelsJSON", "optionsJSON", "timeRestore", "timeFrom", "timeTo", "kibanaSavedObjectMeta"
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=PLANS, ids=["shipped", "other"])
def plan(request):
    return load_plan(request.param)


def shown_by(objects):
    """Every field that some saved objects search, sort, count or list by."""
    fields = set()
    for each in objects:
        attributes = each["attributes"]
        fields |= {attributes["timeFieldName"]} if "timeFieldName" in attributes else set()
        fields |= {*attributes.get("columns", ()), *(name for name, _ in attributes.get("sort", ()))}
        aggregations = json.loads(attributes.get("visState", '{"aggs": []}'))["aggs"]
        fields |= {it["params"]["field"] for it in aggregations if "field" in it["params"]}
    return fields


@pytest.fixture(scope="module")
def in_elasticsearch(tmp_path_factory):
    """The fields of a line with everything in it, written by the logger and shipped by the shipper."""
    folder = tmp_path_factory.mktemp("logs")
    handler = DailyFile(folder)
    run = {"dr.flow": "fail-over", "dr.flow_run": "1"}
    handler.setFormatter(JsonFormatter("naas-api", "flow", str, lambda _: run))
    error = ValueError("planted")
    record = {"name": "dr.audit", "msg": "failed", "exc_info": (ValueError, error, None)}
    with labelled(incident="inc-1", step="promote", site="us-west-2", host="db-1", outcome="done"):
        handler.handle(logging.makeLogRecord(record | told("promote", "failure")))
    handler.close()
    with elasticsearch() as server:
        Shipper(folder, lambda: Cluster(server.url, API_KEY), Naming("naas-api", timedelta(days=1)), 0).ship(
            threading.Event()
        )
        [source] = server.sources()
    return set(source)


def mapped(plan):
    return set(index_template(plan)["template"]["mappings"]["properties"])


def test_what_a_dashboard_shows_is_mapped_and_written(plan, in_elasticsearch):
    for name in LOG_DASHBOARDS:
        shown = shown_by(saved_objects(plan, name))
        assert len(shown) > 4
        assert shown <= mapped(plan)
        assert shown <= in_elasticsearch


def test_what_is_mapped_is_written_and_the_other_way_round(plan, in_elasticsearch):
    assert in_elasticsearch == mapped(plan)


@pytest.mark.parametrize(
    ("place", "planted"),
    [("COLUMNS", ("nowhere",)), ("SPLIT", "nowhere"), ("TOP", "nowhere")],
)
def test_a_planted_unknown_field_is_found(plan, in_elasticsearch, monkeypatch, place, planted):
    monkeypatch.setitem(getattr(logs, place), "audit", planted)
    shown = shown_by(saved_objects(plan, "audit"))
    assert shown - mapped(plan) == shown - in_elasticsearch == {"nowhere"}


def test_saved_objects_have_kibanas_form_and_refer_to_each_other(plan):
    for name in LOG_DASHBOARDS:
        objects = saved_objects(plan, name)
        known = {(each["type"], each["id"]) for each in objects}
        assert len(known) == len(objects)
        assert [each["type"] for each in objects].count("dashboard") == 1
        for each in objects:
            attributes, names = each["attributes"], {it["name"] for it in each["references"]}
            assert set(attributes) == ATTRIBUTES[each["type"]]
            assert {(it["type"], it["id"]) for it in each["references"]} <= known
            source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
            panels = json.loads(attributes.get("panelsJSON", "[]"))
            used = {f"{it['panelIndex']}:{it['panelRefName']}" for it in panels}
            used |= {source["indexRefName"]} if "indexRefName" in source else set()
            assert used == names
            for panel in panels:
                place = panel["gridData"]
                assert place["i"] == panel["panelIndex"]
                assert place["x"] + place["w"] <= 48


def test_everybody_reads_what_is_theirs(plan):
    today = {
        name: index_of(plan.service.name, name, datetime.now(UTC), timedelta(days=1))
        for name in LOG_DASHBOARDS
    }
    for name in LOG_DASHBOARDS:
        role = reader_role(plan, name)
        [indices], [kibana] = role["elasticsearch"]["indices"], role["kibana"]
        [pattern] = indices["names"]
        assert [other for other, index in today.items() if fnmatchcase(index, pattern)] == [name]
        assert indices["privileges"] == ["read", "view_index_metadata"]
        assert kibana["spaces"] == [space(plan, name)["id"]]
        assert {*kibana["feature"]} == {"discover", "dashboard", "visualize"}
        assert all(given == ["read"] for given in kibana["feature"].values())


def test_the_shipper_adds_and_reads_nothing(plan):
    [indices] = shipper_key(plan)["role_descriptors"]["shipper"]["indices"]
    assert indices == {
        "names": [f"{plan.service.name}-logs-*"],
        "privileges": ["create_doc", "auto_configure"],
    }


def test_indices_are_named_as_their_lifecycle_reads_them(plan):
    settings = index_template(plan)["template"]["settings"]
    assert settings["index.lifecycle.name"] == f"{plan.service.name}-logs"
    assert settings["index.lifecycle.parse_origination_date"] is True
    at = datetime(2026, 11, 27, 13, tzinfo=UTC)
    for every in (timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)):
        index = index_of(plan.service.name, "audit", at, every)
        assert fnmatchcase(index, index_template(plan)["index_patterns"][0])
        assert re.fullmatch(r".*-\d{4}\.\d{2}\.\d{2}(-\d+)?", index)
    # A week's index is named by its Monday, and its Sunday's lines are kept as long as all others.
    assert log_lifecycle(timedelta(days=90), timedelta(weeks=1))["policy"]["phases"]["delete"] == {
        "min_age": f"{97 * 86400}s",
        "actions": {"delete": {}},
    }
