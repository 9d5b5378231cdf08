"""Prometheus: what is scraped."""

from collections.abc import Iterator
from typing import Any

from infra.platform.metrics import ETCD_PORT, EXPORTER_PORT, PATRONI_PORT
from infra.platform.rules import seconds
from tasks.plan.plan import Plan
from tasks.plan.ports import ALERTMANAGER_PORT
from tasks.plan.sites import Program

_JOBS: dict[str, tuple[Program, int]] = {
    "dr": ("control", EXPORTER_PORT),
    "patroni": ("postgres", PATRONI_PORT),
    "etcd": ("etcd", ETCD_PORT),
    # What could not be told is a metric of its own.
    "alertmanager": ("control", ALERTMANAGER_PORT),
}


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
        "scrape_configs": [
            # What the exporter says of a site is labelled with that site, not with the exporter's own.
            {"job_name": job, "honor_labels": job == "dr", "static_configs": [*_targets(plan, program, port)]}
            for job, (program, port) in _JOBS.items()
        ],
    }


def prometheus_arguments(plan: Plan) -> str:
    """Debian's /etc/default/prometheus."""
    return f'ARGS="{storage_argument(plan)}"\n'


def storage_argument(plan: Plan) -> str:
    """Retention is an argument of Prometheus, not a setting."""
    return f"--storage.tsdb.retention.time={seconds(plan.monitoring.metrics.prometheus.retention)}"


def _targets(plan: Plan, program: Program, port: int) -> Iterator[dict[str, Any]]:
    for site_name, site in plan.sites.items():
        for name, host in site.running(program).items():
            labels = {"site": site_name, "host": name, "zone": host.zone}
            yield {"targets": [f"{host.address}:{port}"], "labels": labels}
