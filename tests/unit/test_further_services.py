"""Further services in what is rendered, expected, scanned and started: each at its port, below its path."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from infra.lab.home import Home, lab_plan
from infra.lab.servers import further_servers, servers
from infra.render import host_files
from infra.service.further import Further, create_further, read_further
from tasks.clients.running_configuration import files_of
from tasks.errors import Permanent
from tasks.plan.load import load_plan
from tasks.policy.expected import expected
from tasks.policy.exposure import expected_ports, scanned_ports

ROOT = Path(__file__).parents[2]
SHOP_FILE = ROOT / "tests" / "lab" / "second_plan.yaml"
SHOP = load_plan(SHOP_FILE)
HOME, AWAY = "frankfurt", "dublin"


def texts(site, host):
    files = host_files(SHOP, site, host, active=HOME, secrets=False)
    return {path: rendered.text for path, rendered in files.items()}


def sections(text):
    """A HAProxy configuration by its sections."""
    found = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return {section.splitlines()[0]: section for section in found if section and not section.startswith("#")}


@pytest.mark.parametrize(("site", "host"), [(HOME, "edge-fra"), (AWAY, "edge-dub")])
def test_each_gateway_routes_each_path_to_the_services_own_port(site, host):
    found = sections(texts(site, host)["etc/haproxy/haproxy.cfg"])
    rules = [line.strip() for line in found["frontend service"].splitlines() if "use_backend" in line]
    assert rules[2] == (
        "use_backend service-report if { path /back-office/report } || { path_beg /back-office/report/ }"
    )
    backend = found["backend service-report"]
    assert "http-request replace-path /back-office/report/?(.*) /\\1" in backend
    assert "option httpchk GET /ready" in backend
    addresses = SHOP.sites[site].addresses("service")
    assert re.findall(r"    server \S+ (\S+)", backend) == [f"{address}:8103" for address in addresses]


def test_what_gateways_should_run_with_is_what_is_rendered_for_them():
    for each in expected(SHOP, HOME):
        if each.program != "gateway":
            continue
        found = sections(texts(each.site, each.host)["etc/haproxy/haproxy.cfg"])
        named = {path[1] for path in each.settings}
        assert {"service-billing", "service-search", "service-report"} < named
        for path, value in each.settings.items():
            section = found.get(f"backend {path[1]}") or found[f"listen {path[1]}"]
            if path[-1] == "address":
                assert f"server {path[3]} {value}\n" in section
            elif path[-1] == "algorithm":
                assert f"balance {value}\n" in section


def test_each_instance_knows_what_it_needs_at_its_own_sites_gateway(tmp_path):
    files = texts(AWAY, "web-dub-1")
    path = tmp_path / "report.json"
    path.write_text(files["etc/services/report.json"])
    found = read_further(path)
    assert (found.listen, found.port, found.site, found.health) == ("127.22.1.61", 8103, AWAY, "/ready")
    assert found.needs == {"billing": "http://127.22.1.31:8080/billing/health"}
    path.write_text(files["etc/services/billing.json"])
    assert read_further(path).needs == {"shop-api": "http://127.22.1.31:8080/health"}
    path.write_text("{}")
    with pytest.raises(Permanent, match="no configuration"):
        read_further(path)


def test_the_files_that_are_captured_are_those_that_are_rendered():
    captured = set(files_of(SHOP, "service"))
    assert captured == {path for path in texts(HOME, "web-fra-2") if path.startswith("etc/service")}
    assert len(captured) == 4
    assert files_of(SHOP, "gateway") == ("etc/haproxy/haproxy.cfg",)


def test_their_ports_may_listen_where_they_run_and_nowhere_else():
    ports = {8101, 8102, 8103}
    for site in (HOME, AWAY):
        for host, may in expected_ports(SHOP, site).items():
            runs = SHOP.sites[site].hosts[host].runs if host in SHOP.sites[site].hosts else ()
            assert ports & may == (ports if "service" in runs else set()), host
    assert ports <= set(scanned_ports(SHOP))


def test_the_lab_starts_and_stops_them_by_the_plans_commands(tmp_path):
    home = Home(tmp_path)
    access = yaml.safe_load(lab_plan(home, SHOP_FILE, "loopback"))["access"]
    assert access["start_service"].endswith(f"site start-service {tmp_path} {{site}} {{host}} {{service}}")
    assert access["stop_service"].endswith(f"site stop-service {tmp_path} {{site}} {{host}} {{service}}")


def test_the_lab_knows_them_apart_from_what_always_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(Home, "kind", "loopback")
    found = further_servers(Home(tmp_path), SHOP, AWAY)
    keys = {f"{AWAY}/{host}/service-{name}" for host in ("web-dub-1", "web-dub-2") for name in SHOP.services}
    assert {each.key for each in found} == keys
    assert {(each.address, each.port) for each in found if "web-dub-2" in each.key} == {
        ("127.22.2.61", port) for port in (8101, 8102, 8103)
    }
    always = servers(Home(tmp_path), SHOP, AWAY, "service")
    assert {each.key for each in always} == {f"{AWAY}/{host}/service" for host in ("web-dub-1", "web-dub-2")}


@contextmanager
def answering(status):
    """What a service needs, at an address of its own; it answers as it is told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def further(needs):
    config = {"name": "billing", "listen": "127.0.0.1", "port": 8101, "site": AWAY, "health": "/ready"}
    return TestClient(create_further(Further(**config, needs=needs)))


def test_a_service_is_healthy_only_while_what_it_needs_is():
    status = [200]
    with answering(status) as url, further({"shop-api": url}) as client:
        assert client.get("/").json() == {"service": "billing", "site": AWAY}
        assert client.get("/ready").status_code == 200
        status[0] = 503
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json()["checks"]["shop-api"]["status"] == "unhealthy"
    with further({"shop-api": url}) as client:
        assert client.get("/ready").status_code == 503, "nobody answers any more"


def test_a_service_that_needs_nothing_is_healthy():
    with further({}) as client:
        assert client.get("/ready").status_code == 200
