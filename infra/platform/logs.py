"""Elasticsearch's and Kibana's part: indices, their lifecycle, who reads which, and what is shown of them."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from infra.platform.rules import seconds
from tasks.clients.telemetry.lines import FIELDS
from tasks.plan.plan import Plan

# What each dashboard counts over time and lists, by field.
SPLIT = {"security": "event.outcome", "application": "log.level", "audit": "event.outcome"}
TOP = {"security": "event.action", "application": "log.logger", "audit": "event.action"}
COLUMNS = {
    "security": ("event.action", "event.outcome", "host.name", "message"),
    "application": ("log.level", "log.logger", "host.name", "dr.incident", "message"),
    "audit": ("dr.incident", "dr.step", "event.outcome", "dr.site", "message"),
}
_LONGEST_KEYWORD = 1024
# The versions of Kibana whose form the objects have; later ones migrate them as they import them.
_WRITTEN_AS = {"index-pattern": "8.0.0", "search": "8.0.0", "visualization": "8.5.0", "dashboard": "8.9.0"}


def log_lifecycle(retention: timedelta, every: timedelta) -> dict[str, Any]:
    """The lifecycle of the indices of logs; each is named by when it begins, from which its age counts.

    Its last line is younger than that by the time until the next one begins.

    There is no rollover: a line that is sent again must meet itself, and so go to the index it is in.
    """
    delete = {"min_age": seconds(retention + every), "actions": {"delete": {}}}
    return {"policy": {"phases": {"hot": {"actions": {}}, "delete": delete}}}


def index_template(plan: Plan) -> dict[str, Any]:
    """The index template of the service's logs; a field that it does not know is kept, and not indexed."""
    return {
        "index_patterns": [f"{log_name(plan)}-*"],
        "priority": 200,
        "template": {
            "settings": {
                "index.lifecycle.name": log_name(plan),
                "index.lifecycle.parse_origination_date": True,
                "index.number_of_replicas": plan.monitoring.logging.elasticsearch.replicas,
            },
            "mappings": {
                "dynamic": False,
                "properties": {field: _mapping(kind) for field, kind in FIELDS.items()},
            },
        },
    }


def _mapping(kind: str) -> dict[str, Any]:
    # A longer keyword would refuse the whole document.
    return {"type": kind} | ({"ignore_above": _LONGEST_KEYWORD} if kind == "keyword" else {})


def shipper_key(plan: Plan) -> dict[str, Any]:
    """The request of the shipper's API key: it adds documents, makes their indices, and reads nothing."""
    privileges = ["create_doc", "auto_configure"]
    role = {"cluster": [], "indices": [{"names": [f"{log_name(plan)}-*"], "privileges": privileges}]}
    return {"name": f"{log_name(plan)}-shipper", "role_descriptors": {"shipper": role}}


def reader_role(plan: Plan, dataset: str) -> dict[str, Any]:
    """Kibana's role of those who read one kind of logs, in its space and nowhere else."""
    index = {"names": [f"{log_name(plan)}-{dataset}-*"], "privileges": ["read", "view_index_metadata"]}
    features = {name: ["read"] for name in ("discover", "dashboard", "visualize")}
    return {
        "elasticsearch": {"cluster": [], "indices": [index], "run_as": []},
        "kibana": [{"base": [], "feature": features, "spaces": [space_name(plan, dataset)]}],
    }


def space(plan: Plan, dataset: str) -> dict[str, Any]:
    """Kibana's space of one kind of logs."""
    name = space_name(plan, dataset)
    return {"id": name, "name": f"{plan.service.name}: {dataset}", "description": _title(plan, dataset)}


def saved_objects(plan: Plan, dataset: str) -> list[dict[str, Any]]:
    """The data view of one kind of logs, and its dashboard with all that it shows, to be imported."""
    name = space_name(plan, dataset)
    view = _saved("index-pattern", name, title=f"{log_name(plan)}-{dataset}-*", timeFieldName="@timestamp")
    panels = [
        _chart(f"{name}-over-time", "Lines over time", name, "histogram", _over_time(SPLIT[dataset])),
        _chart(
            f"{name}-top", f"Most of {TOP[dataset]}", name, "table", [_terms("2", "bucket", TOP[dataset])]
        ),
        _search(f"{name}-lines", "Newest lines", name, COLUMNS[dataset]),
    ]
    return [view, *panels, _dashboard(name, _title(plan, dataset), panels)]


def log_name(plan: Plan) -> str:
    """What the service's indices, their lifecycle and their template are called."""
    return f"{plan.service.name}-logs"


def space_name(plan: Plan, dataset: str) -> str:
    """What a kind of logs is called in Kibana."""
    return f"{plan.service.name}-{dataset}"


def _title(plan: Plan, dataset: str) -> str:
    return f"{dataset.title()} logs of {plan.service.name} and its disaster recovery"


def _saved(
    kind: str, name: str, references: Sequence[dict[str, str]] = (), **attributes: Any
) -> dict[str, Any]:
    return {
        "type": kind,
        "id": name,
        "attributes": attributes,
        "references": list(references),
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": _WRITTEN_AS[kind],
    }


_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"


def _source(view: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What a chart or a list searches, and the reference to it."""
    query = {"query": {"query": "", "language": "kuery"}, "filter": [], "indexRefName": _SOURCE}
    return {"searchSourceJSON": json.dumps(query)}, [{"name": _SOURCE, "type": "index-pattern", "id": view}]


def _chart(name: str, title: str, view: str, kind: str, buckets: list[dict[str, Any]]) -> dict[str, Any]:
    source, references = _source(view)
    count = {"id": "1", "enabled": True, "type": "count", "schema": "metric", "params": {}}
    state = {"title": title, "type": kind, "aggs": [count, *buckets], "params": {}}
    return _saved(
        "visualization",
        name,
        references,
        title=title,
        visState=json.dumps(state),
        uiStateJSON="{}",
        kibanaSavedObjectMeta=source,
    )


def _over_time(field: str) -> list[dict[str, Any]]:
    params = {"field": "@timestamp", "interval": "auto", "min_doc_count": 1}
    time = {"id": "2", "enabled": True, "type": "date_histogram", "schema": "segment", "params": params}
    return [time, _terms("3", "group", field)]


def _terms(name: str, schema: str, field: str) -> dict[str, Any]:
    params = {"field": field, "size": 20, "order": "desc", "orderBy": "1"}
    return {"id": name, "enabled": True, "type": "terms", "schema": schema, "params": params}


def _search(name: str, title: str, view: str, columns: Sequence[str]) -> dict[str, Any]:
    source, references = _source(view)
    return _saved(
        "search",
        name,
        references,
        title=title,
        columns=list(columns),
        sort=[["@timestamp", "desc"]],
        kibanaSavedObjectMeta=source,
    )


def _dashboard(name: str, title: str, panels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    places = ((0, 0, 32, 12), (32, 0, 16, 12), (0, 12, 48, 24))
    drawn, references = [], []
    for number, (panel, (x, y, w, h)) in enumerate(zip(panels, places, strict=True)):
        index, reference = str(number), f"panel_{number}"
        grid = {"x": x, "y": y, "w": w, "h": h, "i": index}
        drawn.append(
            {"type": panel["type"], "panelIndex": index, "gridData": grid, "panelRefName": reference,
             "embeddableConfig": {}}
        )  # fmt: skip
        references.append({"name": f"{index}:{reference}", "type": panel["type"], "id": panel["id"]})
    query = json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []})
    return _saved(
        "dashboard",
        name,
        references,
        title=title,
        panelsJSON=json.dumps(drawn),
        optionsJSON=json.dumps({"useMargins": True, "hidePanelTitles": False}),
        timeRestore=True,
        timeFrom="now-24h",
        timeTo="now",
        kibanaSavedObjectMeta={"searchSourceJSON": query},
    )
