"""Real Redis servers of a plan: started from the rendered files, on loopback addresses that nobody has."""

import random
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import redis
import yaml
from waiting import until

from infra.lab.home import DEFAULT_PLAN
from infra.render import host_files
from tasks.plan.load import load_plan

PASSWORD = "redis-secret"
EAST, WEST = "us-east-1", "us-west-2"
_PORTS = {"redis": 6379, "sentinel": 26379}
_PROGRAMS = {"redis": ("redis-server", "redis.conf"), "sentinel": ("redis-sentinel", "sentinel.conf")}


def free_addresses():
    """Loopback addresses on which no Redis, Sentinel or cluster bus listens."""
    first, second = random.randint(100, 199), random.randint(1, 254)  # noqa: S311 -- only to be apart
    for last in range(1, 255):
        address = f"127.{first}.{second}.{last}"
        try:
            for port in (6379, 16379, 26379):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
        except OSError:
            continue
        yield address


def redis_plan(folder, redis_ha, east, west=1, stores=None):
    """The shipped plan with so many Redis hosts a site, on free addresses, and secrets of its own."""
    data = yaml.safe_load(DEFAULT_PLAN.read_text())
    addresses = free_addresses()
    for site in data["sites"].values():
        for host in site["hosts"].values():
            host["address"] = next(addresses)
        site["storage"]["endpoint"] = f"https://{_first(site, 'storage')}:8333"
    _populate(data["sites"][EAST], east, redis_ha, addresses)
    _populate(data["sites"][WEST], west, redis_ha, addresses)
    data["redis_ha"] = redis_ha
    data["access"]["root"] = f"{folder}/{{site}}/{{host}}"
    for name, store in (stores or {}).items():
        secrets = {"owner": "file:secrets/owner.json", "reader": "file:secrets/reader.json"}
        data["sites"][name]["storage"] = {"endpoint": store.endpoint, "bucket": store.bucket, **secrets}
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "secrets/redis").write_text(PASSWORD)
    (folder / "plan.yaml").write_text(yaml.safe_dump(data))
    return load_plan(folder / "plan.yaml")


def as_cluster(data):
    """A plan whose two regions have a Redis cluster each, on addresses of their own."""
    data["redis_ha"] = {"mode": "cluster", "down_after": "2 seconds"}
    for region, name in enumerate((EAST, WEST), 1):
        addresses = (f"127.{region}.{number % 3 + 1}.{42 + number}" for number in range(6))
        _populate(data["sites"][name], 6, data["redis_ha"], addresses)
    return data


def _first(site, program):
    return next(host["address"] for host in site["hosts"].values() if program in host["runs"])


def _populate(site, count, redis_ha, addresses):
    """Replace what runs Redis and Sentinel: so many hosts, each with a Sentinel where there is no cluster."""
    for name, host in list(site["hosts"].items()):
        host["runs"] = [each for each in host["runs"] if each not in _PORTS]
        if not host["runs"]:
            del site["hosts"][name]
    zone = next(iter(site["hosts"].values()))["zone"][:-1]
    runs = ["redis"] if redis_ha["mode"] == "cluster" else ["redis", "sentinel"]
    for number in range(count):
        host = {"address": next(addresses), "zone": f"{zone}{'abc'[number % 3]}", "runs": [*runs]}
        site["hosts"][f"redis-{zone}-{number + 1}"] = host


class RedisHosts:
    """The Redis servers and Sentinels of a plan's sites, by address."""

    def __init__(self, plan, folder):
        self.plan, self.folder = plan, folder
        self.processes = {}
        self._hosts = {
            str(host.address): (site, name)
            for site, each in plan.sites.items()
            for name, host in each.hosts.items()
        }

    def start(self, address, program="redis", *, rendered=True):
        """Start a program; from files that are rendered anew, or from those it left."""
        site, host = self._hosts[address]
        root = Path(self.folder, site, host)
        if rendered:
            self._render(root, site, host, program)
        binary, name = _PROGRAMS[program]
        with (root / f"{program}.log").open("ab") as log:
            process = subprocess.Popen([binary, root / "etc/redis" / name], stdout=log, stderr=log)
        self.processes[address, program] = process
        until(lambda: self._answers(address, program), 20, pause=0.05)

    def kill(self, address, program="redis"):
        """SIGKILL."""
        process = self.processes.pop((address, program))
        process.kill()
        process.wait(10)

    def kill_all(self):
        for address, program in list(self.processes):
            self.kill(address, program)

    def data(self, address):
        site, host = self._hosts[address]
        return Path(self.folder, site, host, "var/lib/redis")

    def client(self, address, **more):
        return redis.Redis(host=address, password=PASSWORD, decode_responses=True, socket_timeout=5, **more)

    def _render(self, root, site, host, program):
        files = host_files(self.plan, site, host, active=EAST, secrets=True, programs=[program])
        for path, rendered in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(rendered.text)
        (root / "var/lib" / program).mkdir(parents=True, exist_ok=True)

    def _answers(self, address, program):
        assert self.processes[address, program].poll() is None, f"{program} at {address} ended: see its log"
        password = PASSWORD if program == "redis" else None
        try:
            with redis.Redis(host=address, port=_PORTS[program], password=password) as client:
                return client.ping()
        except redis.RedisError:
            return False


@contextmanager
def running_hosts(plan, folder):
    """Nothing of it runs any more when the block ends."""
    hosts = RedisHosts(plan, folder)
    try:
        yield hosts
    finally:
        hosts.kill_all()
