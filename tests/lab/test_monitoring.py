"""Prometheus and Alertmanager over the lab: what they scrape, a lost site's page, every panel's data."""

import time

import httpx
import pytest

from infra.edge.inbox import messages
from infra.platform.dashboards import dashboard

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long, pytest.mark.timeout(1200)]

PAGE_S = 150
"""A scrape, a measurement, detection_timeout and an evaluation, on a busy machine."""


class Prometheus:
    """Its API."""

    def __init__(self, url):
        self._url = url

    def query(self, expr):
        answer = httpx.get(f"{self._url}/api/v1/query", params={"query": expr}, timeout=10, trust_env=False)
        answer = answer.raise_for_status().json()
        return [(it["metric"], float(it["value"][1])) for it in answer["data"]["result"]]

    def firing(self):
        labels = [labels for labels, _ in self.query('ALERTS{alertstate="firing"}')]
        return {(it["alertname"], it.get("site", "")) for it in labels}


@pytest.fixture(scope="module")
def lab(labs):
    lab = labs.fresh("loopback")
    lab.dr("deploy")
    lab.back_up()
    for flow in ("verify-backups", "check-wal-archiving", "drill-backup-restoration"):
        lab.dr("run", flow, timeout=300)
    return lab


@pytest.fixture(scope="module")
def prometheus(lab):
    return Prometheus(lab.dr("lab", "monitoring").split()[-1])


def until(holds, seconds, told):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(1)


def test_every_target_answers(lab, prometheus):
    sites, programs = (
        lab.plan.sites.values(),
        ("postgres", "postgres", "etcd", "gateway", "redis", *["control"] * 3),
    )
    targets = sum(len(site.addresses(program)) for site in sites for program in programs)
    targets += sum(len(site.hosts) for site in sites)
    until(lambda: len(prometheus.query("up == 1")) == targets, 60, lambda: prometheus.query("up == 0"))


def test_every_redis_lets_its_exporter_in(lab, prometheus):
    count = sum(len(site.addresses("redis")) for site in lab.plan.sites.values())
    until(lambda: len(prometheus.query("redis_up == 1")) == count, 60, lambda: prometheus.query("redis_up"))


def test_all_sites_are_well_and_users_are_served(lab, prometheus):
    def well():
        return {labels["site"]: value for labels, value in prometheus.query("dr_site_healthy")}

    until(lambda: well() == dict.fromkeys(lab.plan.sites, 1.0), 90, well)
    until(lambda: prometheus.query("dr_probe_success == 1"), 60, lambda: prometheus.query("dr_probe_success"))
    assert ("SiteUnhealthy", lab.plan.site_of("primary")) not in prometheus.firing()


def test_a_lost_site_is_a_page_and_every_panel_has_data_before_or_after_its_recovery(lab, prometheus):
    lost, empty = lab.plan.site_of("primary"), without_data(lab, prometheus)
    lab.dr("lab", "break", lost)
    until(lambda: ("SiteUnhealthy", lost) in prometheus.firing(), PAGE_S, prometheus.firing)
    until(lambda: any("primary site is unhealthy" in it for it in pages(lab)), 30, lambda: pages(lab))
    lab.dr("run", "fail-over", "--param", "reason=the page", timeout=300)
    until(
        lambda: not empty & without_data(lab, prometheus), 180, lambda: empty & without_data(lab, prometheus)
    )


def pages(lab):
    return [it["subject"] for it in messages(lab.home.inbox) if it["channel"] == "pagerduty"]


def without_data(lab, prometheus):
    """The panels whose query finds nothing."""
    shown = {
        panel["title"]: panel["targets"][0]["expr"]
        for name in lab.plan.monitoring.metrics.grafana.dashboards
        for panel in dashboard(lab.plan, name)["panels"]
    }
    return {title for title, expr in shown.items() if not prometheus.query(expr)}
