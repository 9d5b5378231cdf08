"""What is scraped through exporters, with a real Prometheus, Redis and HAProxy."""

import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from alert_path import answers, until
from third_parties import ADDRESS, dead_port

from infra.lab.home import DEFAULT_PLAN
from infra.platform.metrics import EXPORTED_BY_OTHERS
from infra.platform.monitoring import prometheus_config
from infra.render import host_files
from tasks.plan.load import load_plan

PASSWORD = "of-redis"
OTHER = "127.0.0.11"


@pytest.fixture(scope="module")
def plan():
    return load_plan(DEFAULT_PLAN)


@contextmanager
def program(folder, *argv, **environment):
    """A program for as long as the block runs."""
    with (folder / f"{Path(argv[0]).name}.log").open("w") as log:
        process = subprocess.Popen(
            argv, cwd=folder, stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/bin", **environment}
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def job(plan, name):
    return next(each for each in prometheus_config(plan)["scrape_configs"] if each["job_name"] == name)


@contextmanager
def scraping(folder, wanted):
    """Prometheus with one job; yields what asks it."""
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [wanted]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    where = f"{ADDRESS}:{dead_port()}"
    argv = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
            f"--web.listen-address={where}"]  # fmt: skip
    with (
        program(folder, *argv),
        httpx.Client(base_url=f"http://{where}", timeout=5, trust_env=False) as client,
    ):
        until(lambda: answers(client), "Prometheus does not begin")
        yield lambda expr: client.get("/api/v1/query", params={"query": expr}).json()["data"]["result"]


def redis_job(plan, redis_port, exporter_port):
    """The rendered job with the test's own Redis and exporter."""
    wanted = job(plan, "redis")
    first = {**wanted["static_configs"][0], "targets": [f"redis://{ADDRESS}:{redis_port}"]}
    relabelled = [*wanted["relabel_configs"][:-1]]
    relabelled.append({**wanted["relabel_configs"][-1], "replacement": f"{ADDRESS}:{exporter_port}"})
    return {**wanted, "static_configs": [first], "relabel_configs": relabelled}


@pytest.mark.parametrize(("given", "up"), [(PASSWORD, "1"), ("wrong", "0")])
def test_one_exporter_asks_any_redis_with_the_password_of_its_environment(plan, tmp_path, given, up):
    redis, exporter = dead_port(), dead_port()
    (tmp_path / "redis.conf").write_text(
        f'bind {ADDRESS}\nport {redis}\nsave ""\nuser default on >{PASSWORD} ~* &* +@all\n'
    )
    listen = f"-web.listen-address={ADDRESS}:{exporter}"
    with (
        program(tmp_path, "redis-server", "redis.conf"),
        program(tmp_path, "prometheus-redis-exporter", "-redis.addr=", listen, REDIS_PASSWORD=given),
        scraping(tmp_path, redis_job(plan, redis, exporter)) as query,
    ):
        until(lambda: query(f"redis_up == {up}"), "no such answer")
        [found] = query("redis_up")
        known = {each["metric"]["__name__"] for each in query('{__name__=~"redis_.+"}')}
        assert shown("redis_") <= known or up == "0"
    assert found["metric"]["host"] == "redis-east-1"
    assert found["metric"]["instance"] == f"redis://{ADDRESS}:{redis}"


def test_one_exporter_answers_at_the_address_of_each_host(tmp_path):
    port = dead_port()
    listening = [f"--web.listen-address={address}:{port}" for address in (ADDRESS, OTHER)]
    with program(tmp_path, "prometheus-node-exporter", *listening):
        for address in (ADDRESS, OTHER):
            until(lambda at=address: "node_load1" in (body(f"http://{at}:{port}/metrics") or ""), address)
            assert shown("node_") <= exported(body(f"http://{address}:{port}/metrics"))


def test_a_gateway_exports_its_own_metrics(plan, tmp_path):
    files = host_files(plan, "us-east-1", "gateway-east", active="us-east-1", secrets=False)
    text, ports = files["etc/haproxy/haproxy.cfg"].text, {}

    def here(found):
        return f"{ADDRESS}:{ports.setdefault(found[1], dead_port())}"

    (tmp_path / "haproxy.cfg").write_text(re.sub(r"127\.1\.1\.31:(\d+)", here, text))
    with program(tmp_path, "haproxy", "-db", "-f", "haproxy.cfg"):
        where = f"http://{ADDRESS}:{ports['8405']}/metrics"
        until(lambda: "haproxy_frontend_http_requests_total" in (body(where) or ""), "no metrics")
        assert 'haproxy_backend_active_servers{proxy="instances"}' in body(where)
        assert shown("haproxy_") <= exported(body(where))


def shown(program):
    """What rules and dashboards need of a program's metrics."""
    return {metric for metric in EXPORTED_BY_OTHERS if metric.startswith(program)}


def exported(text):
    return set(re.findall(r"^([a-zA-Z_]\w*)[ {]", text, re.MULTILINE))


def body(url):
    try:
        return httpx.get(url, timeout=5, trust_env=False).text
    except httpx.TransportError:
        return None
