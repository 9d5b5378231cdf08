"""The stores of a real plan's three sites, each with a status bucket, without a lab around them."""

import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import yaml
from seaweed import Authority, running

from infra.lab.storage import PORT_SPAN, storage_ports, storage_sockets
from tasks.clients.buckets import anybody_reads, control_plane, ensure_bucket, ensure_status_bucket
from tasks.plan.load import load_plan

ROOT = Path(__file__).parents[2]
PUBLISHER = Path(__file__).with_name("status_publisher.py")


class StatusStores:
    """Three running stores.

    Attributes:
        plan: the shipped plan, over these stores.
        stores: each site's.
    """

    def __init__(self, folder):
        self._folder, self._authority = folder, Authority(folder)
        document = yaml.safe_load((ROOT / "deployments/plan.yaml").read_text())
        first = _free_ports(len(document["sites"]))
        self._places = {
            site: (f"127.79.{n}.51", first + n * PORT_SPAN) for n, site in enumerate(document["sites"])
        }
        self._running, self.stores = {}, {}
        for site, (address, port) in self._places.items():
            document["sites"][site]["storage"]["endpoint"] = f"https://{address}:{port}"
        document["secrets"]["ca_certificate"] = f"file:{self._authority.path}"
        (folder / "plan.yaml").write_text(yaml.safe_dump(document))
        self.plan = load_plan(folder / "plan.yaml")

    def start(self, site):
        """Start a site's store, with what it held before."""
        storage, folder = self.plan.sites[site].storage, self._folder / site
        self._running[site] = stack = ExitStack()
        address, port = self._places[site]
        store = stack.enter_context(
            running(folder, self._authority, address, port, storage.bucket, storage.status_bucket)
        )
        self.stores[site] = store
        for name, pair in (("owner", store.owner), ("reader", store.reader)):
            secret = self._folder / "secrets" / site / f"{name}.json"
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.write_text(json.dumps(vars(pair)))

    def stop(self, site):
        """Kill a site's store."""
        self._running.pop(site).close()

    def stop_all(self):
        while self._running:
            self.stop(next(iter(self._running)))

    @contextmanager
    def started_anew(self, site):
        """A site's store with what is planted now; afterwards it is started as it was meant."""
        self.stop(site)
        self.start(site)
        yield
        self.stop(site)
        self.start(site)

    @contextmanager
    def policy_of(self, site, bucket, action):
        """One of a site's buckets with a policy that lets anybody do something else than is meant."""
        client = control_plane(self.plan, site)
        policy = anybody_reads(f"arn:aws:s3:::{bucket}/*")
        policy["Statement"][0] |= {
            "Action": action,
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        }
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        yield
        client.delete_bucket_policy(Bucket=bucket)
        ensure_status_bucket(self.plan, site)

    def ask(self, method, site, what="", bucket=None, **content):
        """What a stranger is answered: at the status bucket unless another is named."""
        storage = self.plan.sites[site].storage
        url = f"{storage.endpoint}/{bucket or storage.status_bucket}/{what}"
        trust = ssl.create_default_context(cafile=self._authority.path)
        return httpx.request(method, url, verify=trust, timeout=5, trust_env=False, **content)

    def publisher(self, notice, dies_at=0):
        """Another process that publishes a notice, and is killed at its write of that number."""
        argv = [sys.executable, str(PUBLISHER), str(self._folder / "plan.yaml"), str(dies_at)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment, text=True)
        process.stdin.write(notice.model_dump_json())
        process.stdin.close()
        return process


@contextmanager
def status_stores(folder):
    """All three of them, with their buckets; gone afterwards."""
    made = StatusStores(folder)
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(made.start, made.plan.sites))
        for site in made.plan.sites:
            ensure_bucket(made.plan, site)
            ensure_status_bucket(made.plan, site)
        yield made
    finally:
        made.stop_all()


def _free_ports(count):
    """The first of so many stores' ports that are all free: a store binds them on 127.0.0.1 too."""
    while True:
        first = secrets.choice(range(20_000, 30_000, PORT_SPAN))
        endpoints = [f"https://127.0.0.1:{first + n * PORT_SPAN}" for n in range(count)]
        ports = [port for endpoint in endpoints for port in storage_ports(endpoint).values()]
        left = [path for endpoint in endpoints for path in storage_sockets(endpoint) if path.exists()]
        with ExitStack() as bound, suppress(OSError):
            for port in ports:
                bound.enter_context(socket.create_server(("", port)))
            if not left:
                return first
