"""What the drivers speak to, for tests: a real HAProxy, moto's Route 53 with faults, a Kubernetes API.

Each edge tells the truth about who gets the users by other means than the driver's.
"""

import json
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import httpx
import pytest
import yaml
from kubernetes_api import KubernetesApi, serving
from moto_server import PAIR, moto_server, wait_for
from seaweed import Authority

from infra.platform.surroundings import virtual_service
from infra.render import endpoint_config
from tasks.clients import traffic
from tasks.plan.load import load_plan

SHIPPED = Path(__file__).parents[2] / "deployments" / "plan.yaml"
EAST, WEST = "us-east-1", "us-west-2"
GATEWAYS = {EAST: "127.77.1.31", WEST: "127.77.2.31"}
PUBLIC = "127.77.0.10"
ZONE, RECORD = "example.com", "api.example.com"
ANSWERS = {EAST: "192.0.2.1", WEST: "198.51.100.1"}
AWS_SECRET, TOKEN = "planted-route53-secret-key", "planted.kubernetes.token"
SECRETS = (AWS_SECRET, TOKEN, "PLANTEDACCESSKEY")


def free_port(address="127.0.0.1"):
    with closing(socket.create_server((address, 0))) as free:
        return free.getsockname()[1]


def written(folder, **endpoint):
    """The shipped plan with another endpoint and gateways of its own, in a folder with its secrets."""
    document = yaml.safe_load(SHIPPED.read_text())
    document["service"]["endpoint"] = {"address": PUBLIC, "port": 8080, "admin_port": 9999} | endpoint
    # HAProxy lets a site start slowly for as long as this.
    availability = document["high_availability"]
    availability["load_balancing"]["health_check_grace_period"] = "1 second"
    availability["failover"]["health_checks"][0] |= {"interval": "1 second", "timeout": "1 second"}
    for site, name in ((EAST, "gateway-east"), (WEST, "gateway-west")):
        document["sites"][site]["hosts"][name]["address"] = GATEWAYS[site]
    (folder / "route53.json").write_text(
        json.dumps({"access_key": "PLANTEDACCESSKEY", "secret_key": AWS_SECRET})
    )
    (folder / "token").write_text(TOKEN + "\n")
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_plan(file)


def changed(plan, **endpoint):
    """The same plan with other values of its endpoint."""
    service = plan.service.model_copy(update={"endpoint": plan.service.endpoint.model_copy(update=endpoint)})
    other = plan.model_copy(update={"service": service})
    other._folder = plan.folder
    return other


def wait_for_port(address, port, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return socket.create_connection((address, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    return pytest.fail(f"{address}:{port} does not answer")


class Gateway:
    """A site's gateway: says which site it is, healthy or not, takes orders or not; can hold a request."""

    def __init__(self, site, stack):
        self.site, self.healthy, self.takes_orders, self.orders = site, True, True, {}
        self.release, self.holds = threading.Event(), threading.Event()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Its answers are two writes, of which the second waits 40 ms for the first one's ACK otherwise.
            disable_nagle_algorithm = True

            def do_GET(self):
                order = gateway.orders.get(self.path.rpartition("/")[2])
                self._send(200 if gateway.healthy or self.path != "/health" else 503, order or site.encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gateway.orders[json.loads(body)["id"]] = body
                told = json.dumps(json.loads(body) | {"site": site})
                self._send(201 if gateway.takes_orders else 500, told.encode())

            def _send(self, status, content):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.path == "/held":
                    gateway.holds.set()
                    gateway.release.wait(20)
                self.wfile.write(content)

            def handle(self):
                # Its session may be shut down.
                with suppress(ConnectionError):
                    super().handle()

            def log_message(self, *_):
                pass

        server = stack.enter_context(ThreadingHTTPServer((GATEWAYS[site], 8080), Handler))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        stack.callback(self.release.set)


class HaproxyEdge:
    """HAProxy as the plan renders it, before gateways that answer; users really ask it."""

    name = "haproxy"

    def __init__(self, folder, stack):
        self.plan = written(folder, port=free_port(PUBLIC), admin_port=free_port(PUBLIC))
        self.gateways = {site: Gateway(site, stack) for site in GATEWAYS}
        config = folder / "haproxy.cfg"
        config.write_text(endpoint_config(self.plan, EAST))
        log = stack.enter_context((folder / "log").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=log, stderr=log)
        )
        stack.callback(server.kill)
        wait_for(self.plan.service.endpoint.url)

    def reset(self):
        """All users are at home, where everything is well."""
        for gateway in self.gateways.values():
            gateway.healthy = gateway.takes_orders = True
            gateway.release.set()
        traffic.move(self.plan, {EAST: 100})

    def truth(self):
        """Who answers 200 users, in percent, once a site that entered has started."""
        time.sleep(1.3)
        with httpx.Client(trust_env=False, timeout=5) as client:
            served = Counter(client.get(self.plan.service.endpoint.url).text for _ in range(200))
        return {site: served[site] / 2 for site in GATEWAYS}

    def noise(self, share):
        """By how much 200 draws may miss a share, in percent: four deviations, and HAProxy's own grain."""
        return 4 * (share * (100 - share) / 200) ** 0.5 + share * (100 - share) / 500

    def silent(self):
        return changed(self.plan, admin_port=free_port(PUBLIC))

    @contextmanager
    def refusing(self):
        """A HAProxy that knows no such sites."""
        with ExitStack() as stack:
            port = free_port(PUBLIC)
            config = self.plan.folder / "other.cfg"
            text = f"global\n stats socket ipv4@{PUBLIC}:{port} level user\ndefaults\n timeout connect 1s\n"
            config.write_text(
                text + f" timeout client 1s\n timeout server 1s\nbackend sites\n server {EAST} {PUBLIC}:1\n"
            )
            server = stack.enter_context(subprocess.Popen(["haproxy", "-db", "-f", str(config)]))
            stack.callback(server.kill)
            wait_for_port(PUBLIC, port)
            yield changed(self.plan, admin_port=port)


class Faults(BaseHTTPRequestHandler):
    """Hands requests on to moto, or answers as planted."""

    def _answer(self):
        edge = self.server.edge
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        edge.requests.append((self.command, self.path, body))
        if edge.delay:
            time.sleep(edge.delay)
        if edge.failing:
            code, error = edge.failing
            text = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{error}</Code><Message>planted "
                f"{self.headers.get('Authorization', '')}</Message></Error></ErrorResponse>"
            )
            return self._send(code, text.encode())
        headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
        told = httpx.request(
            self.command, edge.moto + self.path, headers=headers, content=body, trust_env=False
        )
        content = told.content
        if "/change/" in self.path and edge.pending:
            edge.pending -= 1
            content = content.replace(b"INSYNC", b"PENDING")
        return self._send(told.status_code, content)

    def _send(self, code, content):
        try:
            self.send_response(code)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            pass  # the client gave up

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def log_message(self, *_):
        pass


class Route53Edge:
    """moto's Route 53, behind a server that plants faults."""

    name = "route53"

    def __init__(self, folder, stack):
        self.failing, self.pending, self.delay, self.requests = None, 0, 0, []
        self.moto = stack.enter_context(moto_server(folder))
        front = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Faults))
        front.edge, front.daemon_threads = self, True
        threading.Thread(target=front.serve_forever, daemon=True).start()
        stack.callback(front.shutdown)
        self.client = boto3.client("route53", "us-east-1", endpoint_url=self.moto, **PAIR)
        created = self.client.create_hosted_zone(Name=ZONE, CallerReference="test")
        self.zone = created["HostedZone"]["Id"].rpartition("/")[2]
        block = {
            "zone": self.zone, "record": RECORD, "values": ANSWERS, "ttl": "30 seconds",
            "credentials": "file:route53.json", "api": f"http://127.0.0.1:{front.server_address[1]}",
        }  # fmt: skip
        self.plan = written(folder, route53=block)

    def reset(self):
        """No fault, no record, nothing asked."""
        self.failing, self.pending, self.delay = None, 0, 0
        self.put()
        self.requests.clear()

    def noise(self, _share):
        return 0

    def record_sets(self):
        page = self.client.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        return [each for each in page if each["Name"] == f"{RECORD}."]

    def put(self, *record_sets):
        """Make the record what it is to be, from nothing."""
        self._change("DELETE", self.record_sets())
        self._change(
            "CREATE", [{"Name": f"{RECORD}.", "Type": "A", "TTL": 30} | each for each in record_sets]
        )

    def _change(self, action, record_sets):
        batch = [{"Action": action, "ResourceRecordSet": each} for each in record_sets]
        if batch:
            self.client.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch={"Changes": batch})

    def truth(self):
        found = {each["ResourceRecords"][0]["Value"]: each["Weight"] for each in self.record_sets()}
        return {site: found[answer] for site, answer in ANSWERS.items()}

    def with_route53(self, **changes):
        return changed(self.plan, route53=self.plan.service.endpoint.route53.model_copy(update=changes))

    def silent(self):
        return self.with_route53(api=f"http://127.0.0.1:{free_port()}")

    @contextmanager
    def refusing(self):
        yield self.with_route53(zone="ZNOSUCHZONE")


class IstioEdge:
    """A Kubernetes API that keeps the VirtualService which the plan renders."""

    name = "istio"

    def __init__(self, folder, stack):
        authority = Authority(folder)
        authority.issue(PUBLIC, folder)
        path = "/apis/networking.istio.io/v1/namespaces/production/virtualservices/naas-api-retry-policy"
        self.api = KubernetesApi(path, {"metadata": {}}, TOKEN)
        port = stack.enter_context(serving(self.api, PUBLIC, folder))
        block = {
            "api": f"https://{PUBLIC}:{port}", "namespace": "production",
            "subsets": {EAST: {"site": "east"}, WEST: {"site": "west"}},
            "token": "file:token", "ca_certificate": "file:ca.crt",
        }  # fmt: skip
        self.plan = written(folder, istio=block)
        self.reset()

    def reset(self):
        """No fault, and the VirtualService as it is rendered."""
        self.api.meanwhile, self.api.failing, self.api.delay = None, 0, 0
        self.api.change({"spec": None})
        self.api.change(virtual_service(self.plan))
        self.api.patches.clear()

    def truth(self):
        routes = self.api.object["spec"]["http"][0]["route"]
        return {each["destination"]["subset"]: each["weight"] for each in routes}

    def noise(self, _share):
        return 0

    def with_istio(self, **changes):
        return changed(self.plan, istio=self.plan.service.endpoint.istio.model_copy(update=changes))

    def silent(self):
        return self.with_istio(api=f"https://{PUBLIC}:{free_port(PUBLIC)}")

    @contextmanager
    def refusing(self):
        yield self.with_istio(namespace="staging")


EDGES = {each.name: each for each in (HaproxyEdge, Route53Edge, IstioEdge)}


@contextmanager
def running_edge(name, folder):
    with ExitStack() as stack:
        yield EDGES[name](folder, stack)
