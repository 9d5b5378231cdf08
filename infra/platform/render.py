"""Every file around the servers, by its path in the rendered tree."""

import json
from typing import Any

import yaml

from infra.platform.alertmanager import (
    HEARTBEAT_FILE,
    NOTICES_CREDENTIALS_FILE,
    SECRET_FILES,
    alertmanager_config,
)
from infra.platform.dashboards import contact_points, dashboard
from infra.platform.envoy import envoy_config
from infra.platform.logs import index_template, log_lifecycle, reader_role, saved_objects, shipper_key, space
from infra.platform.monitoring import PREFECT_LOGIN_FILE, prometheus_arguments, prometheus_config
from infra.platform.rule_file import alert_rules
from infra.platform.stack import recovery_stacks
from infra.platform.surroundings import (
    destination_rule,
    sampling,
    stack_parameters,
    trace_lifecycle,
    virtual_service,
)
from tasks.plan.plan import Plan


def platform_files(plan: Plan) -> dict[str, str]:
    """The rendered text of each file; none of them holds a secret."""
    metrics, logs = plan.monitoring.metrics, plan.monitoring.logging.elasticsearch
    return {
        "prometheus/prometheus.yml": _yaml(prometheus_config(plan)),
        "prometheus/prometheus.default": prometheus_arguments(plan),
        f"prometheus/{metrics.prometheus.alerting_rules}": _yaml(alert_rules(plan)),
        "alertmanager/alertmanager.yml": _yaml(alertmanager_config(plan)),
        **{
            f"grafana/dashboards/{name}.json": _json(dashboard(plan, name))
            for name in metrics.grafana.dashboards
        },
        "grafana/alerting/contact-points.yaml": _yaml(contact_points(plan)),
        "elasticsearch/lifecycle.json": _json(log_lifecycle(logs.retention, logs.indices.every)),
        "elasticsearch/index-template.json": _json(index_template(plan)),
        "elasticsearch/shipper-api-key.json": _json(shipper_key(plan)),
        **_kibana(plan),
        "jaeger/sampling.json": _json(sampling(plan)),
        "jaeger/lifecycle.json": _json(
            trace_lifecycle(plan.monitoring.tracing.jaeger.retention, logs.indices.every)
        ),
        "istio/destination-rule.yaml": _yaml(destination_rule(plan)),
        "istio/virtual-service.yaml": _yaml(virtual_service(plan)),
        "envoy/envoy.yaml": _yaml(envoy_config(plan)),
        "cloudformation/parameters.json": _json(stack_parameters(plan)),
        **{f"cloudformation/{name}": _yaml(stack) for name, stack in recovery_stacks(plan).items()},
    }


def _kibana(plan: Plan) -> dict[str, str]:
    files = {}
    for name in plan.monitoring.logging.kibana.dashboards:
        files[f"kibana/spaces/{name}.json"] = _json(space(plan, name))
        files[f"kibana/roles/{name}.json"] = _json(reader_role(plan, name))
        objects = (json.dumps(each) + "\n" for each in saved_objects(plan, name))
        files[f"kibana/saved-objects/{name}.ndjson"] = "".join(objects)
    return files


def platform_secrets(plan: Plan) -> dict[str, str]:
    """The references of the secrets that belong beside the rendered files, by path."""
    notifications = plan.notifications
    references = {f"prometheus/{PREFECT_LOGIN_FILE}": plan.secrets.prefect_api}
    if notifications.pagerduty:
        references[f"alertmanager/{SECRET_FILES['pagerduty']}"] = notifications.pagerduty.routing_key
    if notifications.slack:
        references[f"alertmanager/{SECRET_FILES['slack']}"] = notifications.slack.webhook
    if notifications.email and notifications.email.password:
        references[f"alertmanager/{SECRET_FILES['email']}"] = notifications.email.password
    if notifications.heartbeat and notifications.heartbeat.token:
        references[f"alertmanager/{HEARTBEAT_FILE}"] = notifications.heartbeat.token
    if plan.secrets.notices_token:
        references[f"alertmanager/{NOTICES_CREDENTIALS_FILE}"] = plan.secrets.notices_token
    return references


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=10_000)
