"""Prometheus: what is scraped."""

from collections.abc import Iterable, Iterator
from typing import Any

from infra.platform.metrics import ETCD_PORT, EXPORTER_PORT, PATRONI_PORT, PREFECT_PORT
from infra.platform.rules import seconds
from tasks.plan.plan import Plan
from tasks.plan.ports import (
    ALERTMANAGER_PORT,
    HAPROXY_METRICS_PORT,
    NODE_EXPORTER_PORT,
    POSTGRES_EXPORTER_PORT,
    REDIS_EXPORTER_PORT,
)
from tasks.plan.sites import Program

_JOBS: dict[str, tuple[Program, int]] = {
    "dr": ("control", EXPORTER_PORT),
    "patroni": ("postgres", PATRONI_PORT),
    "etcd": ("etcd", ETCD_PORT),
    "postgresql": ("postgres", POSTGRES_EXPORTER_PORT),
    # What could not be told is a metric of its own.
    "alertmanager": ("control", ALERTMANAGER_PORT),
    "haproxy": ("gateway", HAPROXY_METRICS_PORT),
}
# Beside prometheus.yml, so that the configuration itself holds no secret.
PREFECT_LOGIN_FILE = "secrets/prefect_api"


def prometheus_config(plan: Plan) -> dict[str, Any]:
    """prometheus.yml: every host that exports metrics, labelled with its site."""
    prometheus = plan.monitoring.metrics.prometheus
    control = plan.sites[plan.site_of("dr")].addresses("control")
    return {
        "global": {
            "scrape_interval": seconds(prometheus.scrape_interval),
            "evaluation_interval": seconds(prometheus.scrape_interval),
            "external_labels": {"service": plan.service.name},
        },
        "rule_files": [prometheus.alerting_rules],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{a}:{ALERTMANAGER_PORT}" for a in control]}]}
            ]
        },
        "scrape_configs": [*_direct(plan), _hosts(plan), _redis(plan, control[0]), _prefect(plan)],
    }


def _direct(plan: Plan) -> Iterator[dict[str, Any]]:
    """What exports metrics of its own."""
    for job, (program, port) in _JOBS.items():
        # What the exporter says of a site is labelled with that site, not with the exporter's own.
        yield _job(job, _targets(plan, program, f"{{}}:{port}"), honor_labels=job == "dr")


def _hosts(plan: Plan) -> dict[str, Any]:
    return _job("node", _targets(plan, None, f"{{}}:{NODE_EXPORTER_PORT}"))


def _redis(plan: Plan, exporter: str) -> dict[str, Any]:
    """One exporter asks every Redis: the target is its parameter."""
    relabelled = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"{exporter}:{REDIS_EXPORTER_PORT}"},
    ]
    targets = _targets(plan, "redis", "redis://{}:6379")
    return _job("redis", targets, metrics_path="/scrape", relabel_configs=relabelled)


def _prefect(plan: Plan) -> dict[str, Any]:
    login = {"username": "admin", "password_file": PREFECT_LOGIN_FILE}
    targets = _targets(plan, "control", f"{{}}:{PREFECT_PORT}")
    return _job("prefect", targets, metrics_path="/api/metrics", basic_auth=login)


def _job(name: str, targets: Iterable[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    return {"job_name": name, **settings, "static_configs": [*targets]}


def prometheus_arguments(plan: Plan) -> str:
    """Debian's /etc/default/prometheus."""
    return f'ARGS="{storage_argument(plan)}"\n'


def storage_argument(plan: Plan) -> str:
    """Retention is an argument of Prometheus, not a setting."""
    return f"--storage.tsdb.retention.time={seconds(plan.monitoring.metrics.prometheus.retention)}"


def _targets(plan: Plan, program: Program | None, at: str) -> Iterator[dict[str, Any]]:
    """Each host that runs a program, or each host; `at` is where, with its address left open."""
    for site_name, site in plan.sites.items():
        for name, host in (site.running(program) if program else site.hosts).items():
            labels = {"site": site_name, "host": name, "zone": host.zone}
            yield {"targets": [at.format(host.address)], "labels": labels}
