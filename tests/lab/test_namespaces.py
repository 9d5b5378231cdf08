"""Real namespaces, a real link, real TCP between them. Round trips are measured, throughput is printed."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from infra.lab.network import Namespaces, control
from infra.lab.network.topology import DEVICE, NAMESPACES, Weather
from tasks.clients import command
from tasks.errors import Permanent, Refused

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available())),
]

SITES = {"north": ["10.201.1.1", "10.201.7.2"], "south": ["10.202.1.1"], "east": ["10.203.1.1"]}
WORLD = ["10.200.0.10"]
PORT = 9000

SERVER = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1 << 20):
            if data[-1:] != b"-":
                self.request.sendall(self.client_address[0].encode() if data == b"who" else data)
        self.request.sendall(b"end")
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Echo)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
"""

TRIPS = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as peer:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(int(sys.argv[3])):
        start = time.perf_counter()
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        print(time.perf_counter() - start, flush=True)
        time.sleep(float(sys.argv[4]))
"""

FLOOD = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as peer:
    block, start = b"-" * (1 << 20), time.perf_counter()
    for _ in range(100):
        peer.sendall(block)
    peer.shutdown(socket.SHUT_WR)
    assert peer.recv(3) == b"end"
    print(104.8576 / (time.perf_counter() - start))
"""

COUNT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
    here.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    heard = 0
    here.settimeout(3)
    try:
        while here.recv(64):
            heard += 1
    except TimeoutError:
        print(heard, flush=True)
"""

SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
    for _ in range(int(sys.argv[3])):
        here.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
        time.sleep(0.0005)
"""

ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as peer:
    peer.sendall(b"who")
    print(peer.recv(64).decode())
"""


@contextmanager
def serving(prefix, address):
    argv = [*prefix, sys.executable, "-c", SERVER, address, str(PORT)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        yield server
        server.kill()


def client(prefix, program, address, *arguments):
    argv = [*prefix, sys.executable, "-c", program, address, str(PORT), *map(str, arguments)]
    return command.run(argv, timeout=30).split()


def reaches(network, source, address, *, patience=1):
    prefix = [] if source == "world" else network.prefix(source)
    try:
        client(prefix, ASK, address, patience)
    except Permanent:
        return False
    return True


def links(network):
    return control.links(network._state)


def traces(network):
    """Everything of a network that this machine still holds."""
    routes = command.run(["ip", "-4", "route", "show", "table", "all"], timeout=10).splitlines()
    addresses = [*WORLD, *(address for hosts in SITES.values() for address in hosts)]
    return [
        *NAMESPACES.glob(f"{network.name}-*"),
        *(name for _, name in socket.if_nameindex() if name == network.name),
        *(process.pid for process in links(network)),
        *(route for route in routes if any(address in route.split() for address in addresses)),
        *network.state_dir.parent.glob(network.state_dir.name),
    ]


@pytest.fixture
def network(tmp_path):
    network = Namespaces.beside(tmp_path / "network")
    network.up(SITES, WORLD)
    try:
        yield network
    finally:
        network.down()
        assert traces(network) == []


@pytest.fixture
def south(network):
    with serving(network.prefix("south"), "10.202.1.1") as server:
        yield server


def test_sites_are_apart_by_the_latency_and_the_world_is_near(network, south):
    for name, prefix, low, high in (
        ("north to south", network.prefix("north"), 10.0, 13.0),
        ("world to south", [], 0.0, 3.0),
    ):
        trips = [1000 * float(trip) for trip in client(prefix, TRIPS, "10.202.1.1", 100, 0)]
        megabytes = float(client(prefix, FLOOD, "10.202.1.1")[0])
        seen = (
            f"{name}: median {statistics.median(trips):.2f} ms, worst {max(trips):.2f}, {megabytes:.0f} MB/s"
        )
        print(seen)  # noqa: T201 - throughput is this machine's: shown, not judged
        assert low <= statistics.median(trips) < high
        assert min(trips) >= low


def test_a_connection_comes_from_its_sites_first_address(network, south):
    assert client(network.prefix("north"), ASK, "10.202.1.1", 1) == ["10.201.1.1"]
    assert client([], ASK, "10.202.1.1", 1) == WORLD


def test_every_address_of_a_site_is_reached_the_worlds_and_its_own_loopback_too(network):
    north, south = network.prefix("north"), network.prefix("south")
    with serving(north, "10.201.7.2"):
        assert client(south, ASK, "10.201.7.2", 1) == ["10.202.1.1"]
    with serving([], WORLD[0]):
        assert client(south, ASK, WORLD[0], 1) == ["10.202.1.1"]
    with serving(north, "127.0.0.1"):
        assert client(north, ASK, "127.0.0.1", 1) == ["127.0.0.1"]
        assert not reaches(network, "south", "127.0.0.1")


def test_a_cut_parts_a_site_from_the_others_but_not_from_the_world(network, south):
    network.cut("south")
    assert network.is_cut("south")
    assert not network.is_cut("north")
    assert not reaches(network, "north", "10.202.1.1")
    assert reaches(network, "world", "10.202.1.1")
    with serving(network.prefix("north"), "10.201.1.1"):
        assert not reaches(network, "south", "10.201.1.1")
        assert reaches(network, "east", "10.201.1.1")
    network.heal("south")
    assert not network.is_cut("south")
    assert reaches(network, "north", "10.202.1.1")


def test_a_whole_cut_parts_a_site_from_the_world_too(network, south):
    network.cut("south", world=True)
    assert not reaches(network, "world", "10.202.1.1")
    network.heal("south")
    assert reaches(network, "world", "10.202.1.1")


def test_an_open_connection_survives_a_cut_of_three_seconds(network, south):
    argv = [*network.prefix("north"), sys.executable, "-c", TRIPS, "10.202.1.1", str(PORT), "30", "0.05"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as north:
        first = float(north.stdout.readline())
        network.cut("south")
        time.sleep(3)
        network.heal("south")
        trips = [float(line) for line in north.stdout]
    assert north.returncode == 0
    assert first < 1
    assert len(trips) == 29
    assert 2.5 < max(trips) < 5


def test_bad_lines_are_slow_until_they_are_healed(network, south):
    network.worsen("south", Weather(delay_ms=40))
    assert network.is_troubled("south")
    assert not network.is_cut("south")
    trips = [1000 * float(trip) for trip in client(network.prefix("north"), TRIPS, "10.202.1.1", 20, 0)]
    assert 90 <= statistics.median(trips) < 110
    network.heal("south")
    assert not network.is_troubled("south")
    trips = [1000 * float(trip) for trip in client(network.prefix("north"), TRIPS, "10.202.1.1", 20, 0)]
    assert statistics.median(trips) < 15


def test_bad_lines_lose_their_share_of_packets(network):
    heard = [*network.prefix("south"), sys.executable, "-c", COUNT, "10.202.1.1", str(PORT)]
    network.worsen("south", Weather(loss=0.3))
    with subprocess.Popen(heard, stdout=subprocess.PIPE, text=True) as south:
        assert south.stdout.readline() == "ready\n"
        client(network.prefix("north"), SEND, "10.202.1.1", 1000)
        arrived = int(south.stdout.readline())
    assert 600 < arrived < 800


def test_up_again_changes_nothing_and_keeps_a_cut(network, south):
    before = [process.pid for process in links(network)]
    network.cut("north")
    network.up(SITES, WORLD)
    assert [process.pid for process in links(network)] == before
    assert network.is_cut("north")
    assert not reaches(network, "north", "10.202.1.1")
    network.heal("north")
    assert reaches(network, "north", "10.202.1.1")


def test_up_repairs_a_killed_link_and_keeps_the_cut_and_the_servers(network, south):
    network.cut("north")
    (link,) = links(network)
    link.kill()
    psutil.wait_procs([link], timeout=5)
    assert not reaches(network, "world", "10.202.1.1")
    network.up(SITES, WORLD)
    assert reaches(network, "world", "10.202.1.1")
    assert not reaches(network, "north", "10.202.1.1")
    network.heal("north")
    assert reaches(network, "north", "10.202.1.1")


def test_without_its_link_no_packet_for_a_site_leaves_the_machine(network):
    (link,) = links(network)
    link.kill()
    psutil.wait_procs([link], timeout=5)
    for address in [*WORLD, "10.202.1.1"]:
        with (
            pytest.raises(OSError, match=r"unreachable|No route"),
            socket.create_connection((address, PORT), 1),
        ):
            pass
    with pytest.raises(Refused, match="not up"):
        network.cut("north")


def test_up_repairs_namespaces_that_are_half_made_or_gone(network):
    half, gone = (NAMESPACES / f"{network.name}-{site}" for site in ("north", "east"))
    command.run(["ip", "netns", "del", half.name], timeout=5)
    command.run(["ip", "netns", "del", gone.name], timeout=5)
    half.touch(mode=0)  # what `ip netns add` leaves when it is killed before its mount
    network.up(SITES, WORLD)
    for source, site in (("world", "north"), ("north", "east"), ("south", "north")):
        with serving(network.prefix(site), SITES[site][0]):
            assert reaches(network, source, SITES[site][0])


def test_other_sites_replace_the_former_ones(network):
    network.up({"west": ["10.202.1.1"]}, WORLD)
    assert [path.name for path in NAMESPACES.glob(f"{network.name}-*")] == [f"{network.name}-west"]
    with serving(network.prefix("west"), "10.202.1.1"):
        assert reaches(network, "world", "10.202.1.1")


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_up_killed_on_its_way_is_repaired_by_up_and_removed_by_down(tmp_path, seconds):
    network = Namespaces.beside(tmp_path / "network")
    program = (
        "import os, sys; from pathlib import Path; from infra.lab.network import Namespaces; "
        "network = Namespaces.beside(Path(sys.argv[1])); print('go', flush=True); "
        f"network.up({SITES!r}, {WORLD!r})"
    )
    for repair in (True, False):
        argv = [sys.executable, "-c", program, str(network.state_dir)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, process_group=0) as up:
            assert up.stdout.readline() == "go\n"
            time.sleep(seconds)
            os.killpg(up.pid, signal.SIGKILL)
        if repair:
            network.up(SITES, WORLD)
            with serving(network.prefix("south"), "10.202.1.1"):
                assert reaches(network, "north", "10.202.1.1")
        network.down()
        assert traces(network) == []


def test_a_link_that_is_dying_of_something_else_is_waited_for(tmp_path):
    for repair in (True, False) * 5:
        network = Namespaces.beside(tmp_path / "network")
        network.up(SITES, WORLD)
        for link in links(network):
            link.kill()
        if repair:
            network.up(SITES, WORLD)
        network.down()
        assert traces(network) == []


def test_down_needs_no_record_and_ends_what_still_runs_in_a_site(tmp_path):
    network = Namespaces.beside(tmp_path / "network")
    network.up(SITES, WORLD)
    with serving(network.prefix("north"), "10.201.1.1") as server:
        for record in network.state_dir.iterdir():
            record.unlink()
        assert traces(network) != []
        network.down()
        assert server.wait(timeout=5) == -signal.SIGKILL
    assert traces(network) == []
    network.down()


def test_addresses_in_use_on_this_machine_are_refused_before_anything_is_made(network, tmp_path):
    other = Namespaces.beside(tmp_path / "other")
    with pytest.raises(Refused, match="in use") as refusal:
        other.up(SITES, WORLD)
    assert network.name in refusal.value.detail
    assert not list(NAMESPACES.glob(f"{other.name}-*"))
    assert not other.state_dir.exists()


def test_an_unknown_site_is_refused_with_the_known_ones(network):
    with pytest.raises(Refused, match="no site atlantis") as refusal:
        network.cut("atlantis")
    assert refusal.value.detail == "sites: north, south, east"


def test_an_idle_link_takes_no_time_of_the_processors(network):
    (link,) = links(network)
    before = link.cpu_times()
    time.sleep(2)
    after = link.cpu_times()
    assert after.user + after.system - before.user - before.system <= 0.02


def test_a_link_that_cannot_open_its_devices_says_why(network):
    with pytest.raises(Permanent, match="busy") as failure:
        control.start(network._state)
    assert f"device {DEVICE} cannot be made" in failure.value.detail
    assert len(links(network)) == 1
