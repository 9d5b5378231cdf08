"""Replication against `rclone sync --checksum` and s5cmd, between two stores, in one run, interleaved.

CPU seconds are the client's and both servers' together, and the client's alone. s5cmd knows one endpoint: it
goes by way of a directory. Every tool copies into a bucket of its own. Usage: bench_replication.py [small
objects] [rounds].
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import obstore
import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

from seaweed import Authority, Store, running  # noqa: E402 -- beside the lab tests
from shared import paired_ratio, write_results  # noqa: E402

from infra.lab.home import program  # noqa: E402
from tasks.clients.buckets import ensure_bucket  # noqa: E402
from tasks.clients.objects import Bucket, Location  # noqa: E402
from tasks.plan.references import Credentials  # noqa: E402

SMALL, ROUNDS = 20_000, 2
LARGE = int(os.environ.get("LARGE", "12"))
MIB = 1024 * 1024
LIMIT_S = 1800
FOLDER = "pgbackrest/archive/main/15-1"
INFOS = [
    f"pgbackrest/{kind}/main/{kind}.info{end}" for kind in ("archive", "backup") for end in ("", ".copy")
]
TOOLS = ("ours", "rclone", "s5cmd")
SCENES = ("small", "no_change", "changed", "large")
LISTED = (200_000, 1_000_000)


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds on the wall, CPU seconds, MiB at its peak."""

    wall: float
    cpu: float
    client_cpu: float
    memory: float


Costs = dict[str, dict[str, list[Cost]]]


class Pair:
    """The two stores, and how each tool copies from one to the other."""

    def __init__(self, north: Store, south: Store, folder: Path) -> None:
        self.stores = {"north": north, "south": south}
        self.folder = folder
        self.ca = str(north.ca_certificate)

    def bucket(self, side: str, name: str) -> Bucket:
        """A bucket, made where it is not there."""
        ensure_bucket(self._plan(side, name), side)
        return Bucket(Location(**{**self._location(side, name), "credentials": self._keys(side)}), 600)

    def copy(self, tool: str, source: str, target: str) -> Cost:
        """Make the target bucket a copy of the source bucket, by one tool."""
        return self._cost(
            {"ours": self._ours, "rclone": self._rclone, "s5cmd": self._s5cmd}[tool](source, target)
        )

    def _ours(self, source: str, target: str) -> list[tuple[list[str], dict[str, str], str]]:
        sides = {"source": self._location("north", source), "target": self._location("south", target)}
        return [
            ([sys.executable, str(HERE / "pull_once.py")], {"PYTHONPATH": str(Path.cwd())}, json.dumps(sides))
        ]

    def _rclone(self, source: str, target: str) -> list[tuple[list[str], dict[str, str], str]]:
        remotes = {f"RCLONE_CONFIG_{side.upper()}_{name}": value for side in self.stores for name, value in {
            "TYPE": "s3", "PROVIDER": "SeaweedFS", "REGION": side, "ENDPOINT": self.stores[side].endpoint,
            "ACCESS_KEY_ID": self._keys(side).access_key, "SECRET_ACCESS_KEY": self._keys(side).secret_key,
        }.items()}  # fmt: skip
        argv = [program("rclone"), "sync", "--checksum", "--config=/dev/null", f"--ca-cert={self.ca}"]
        return [([*argv, f"north:{source}/pgbackrest", f"south:{target}/pgbackrest"], remotes, "")]

    def _s5cmd(self, source: str, target: str) -> list[tuple[list[str], dict[str, str], str]]:
        staged = self.folder / f"staged-{source}"
        staged.mkdir(exist_ok=True)
        ways = [("north", f"s3://{source}/*", f"{staged}/"), ("south", f"{staged}/", f"s3://{target}/")]
        return [
            (
                [
                    program("s5cmd"),
                    "--log=error",
                    f"--endpoint-url={self.stores[side].endpoint}",
                    "sync",
                    *way,
                ],
                {
                    "AWS_CA_BUNDLE": self.ca,
                    "AWS_REGION": side,
                    "AWS_ACCESS_KEY_ID": self._keys(side).access_key,
                    "AWS_SECRET_ACCESS_KEY": self._keys(side).secret_key,
                },
                "",
            )
            for side, *way in ways
        ]

    def _cost(self, commands: list[tuple[list[str], dict[str, str], str]]) -> Cost:
        servers = self._servers_cpu()
        began, client, memory = time.monotonic(), 0.0, 0.0
        for argv, environment, given in commands:
            used, peak = _run(argv, environment, given)
            client, memory = client + used, max(memory, peak)
        wall = time.monotonic() - began
        sys.stderr.write(f"{Path(commands[-1][0][0]).name} {wall:.1f} s, {client:.1f} CPU s\n")
        return Cost(wall, client + self._servers_cpu() - servers, client, memory)

    def _servers_cpu(self) -> float:
        times = [psutil.Process(store.process.pid).cpu_times() for store in self.stores.values()]
        return sum(each.user + each.system for each in times)

    def _keys(self, side: str) -> Credentials:
        owner = self.stores[side].owner
        return Credentials(owner.access_key, owner.secret_key)

    def _location(self, side: str, name: str) -> dict[str, Any]:
        keys = self._keys(side)
        return {
            "endpoint": self.stores[side].endpoint,
            "bucket": name,
            "region": side,
            "credentials": [keys.access_key, keys.secret_key],
            "ca_certificate": Path(self.ca).read_text(),
        }

    def _plan(self, side: str, name: str) -> Any:
        storage = SimpleNamespace(
            endpoint=self.stores[side].endpoint, bucket=name, owner="", object_lock=None
        )
        return SimpleNamespace(
            sites={side: SimpleNamespace(storage=storage)},
            credentials=lambda _: self._keys(side),
            secret_path=lambda _: Path(self.ca),
        )


def measure(small: int = SMALL, rounds: int = ROUNDS, listed: tuple[int, int] = LISTED) -> dict[str, Any]:
    """Run everything; the result holds `runs` (medians by scene and tool), `memory` and `ratios`."""
    with tempfile.TemporaryDirectory(prefix="dr-bench-") as name:
        folder = Path(name)
        authority = Authority(folder)
        with _stores(folder, authority) as pair:
            costs = _scenes(pair, small, rounds)
        memory = {keys: listing_memory(folder, authority, keys) for keys in listed}
    return {
        "small_objects": small,
        "rounds": rounds,
        "runs": {
            scene: {tool: _middle(each) for tool, each in tools.items()} for scene, tools in costs.items()
        },
        "listing_memory_mib": memory,
        "ratios": _ratios(costs, memory, listed),
    }


def _ratios(costs: Costs, memory: dict[int, float], listed: tuple[int, int]) -> dict[str, float]:
    def ratio(scene: str, what: str, other: str = "rclone") -> float:
        sides = ([getattr(cost, what) for cost in costs[scene][tool]] for tool in ("ours", other))
        return round(paired_ratio(*sides), 3)

    return {
        "small_objects_cpu_vs_rclone": ratio("small", "cpu"),
        "small_objects_wall_vs_rclone": ratio("small", "wall"),
        "no_change_wall_vs_rclone": ratio("no_change", "wall"),
        "memory_1m_vs_200k": round(memory[listed[1]] / memory[listed[0]], 3),
        "changed_wall_vs_rclone": ratio("changed", "wall"),
        "large_wall_vs_rclone": ratio("large", "wall"),
        "small_objects_cpu_vs_s5cmd": ratio("small", "cpu", "s5cmd"),
        "small_objects_wall_vs_s5cmd": ratio("small", "wall", "s5cmd"),
    }


def _scenes(pair: Pair, small: int, rounds: int) -> Costs:
    source, large = pair.bucket("north", "bench-small"), pair.bucket("north", "bench-large")
    _fill(source, [f"{FOLDER}/{at // 256:016X}/{at:06}" for at in range(small)], _small)
    _fill(large, [], bytes)
    for at in range(LARGE):
        obstore.put(large.store, f"{FOLDER}/{at:016X}/0", os.urandom(50 * MIB), chunk_size=5 * MIB)
    costs: Costs = {scene: {tool: [] for tool in TOOLS} for scene in SCENES}
    for number in range(rounds):
        order = TOOLS[number % len(TOOLS) :] + TOOLS[: number % len(TOOLS)]
        names = {tool: f"bench-{tool}-{number}" for tool in TOOLS}
        for tool in order:
            pair.bucket("south", names[tool])
            costs["small"][tool].append(pair.copy(tool, "bench-small", names[tool]))
        for tool in (*order, *reversed(order), *order):  # each takes a second
            costs["no_change"][tool].append(pair.copy(tool, "bench-small", names[tool]))
        # What changes in a repository is what is added: an object that was overwritten is a conflict.
        _fill(source, [f"{FOLDER}/{0xFFFF + number:016X}/{at:06}" for at in range(small // 100)], _small)
        for tool in order:
            costs["changed"][tool].append(pair.copy(tool, "bench-small", names[tool]))
        for tool in order:
            pair.bucket("south", f"{names[tool]}-large")
            costs["large"][tool].append(pair.copy(tool, "bench-large", f"{names[tool]}-large"))
            _same(large, pair.bucket("south", f"{names[tool]}-large"))
        for tool in ("ours", "rclone"):
            _same(source, pair.bucket("south", names[tool]))
    return costs


def _small() -> bytes:
    return os.urandom(4096)


def _middle(costs: list[Cost]) -> dict[str, float]:
    rows = [asdict(cost) for cost in costs]
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def _same(source: Bucket, target: Bucket) -> None:
    sides = [{(e.key, e.size) for e in bucket.list("pgbackrest")} for bucket in (source, target)]
    if sides[0] != sides[1]:
        raise SystemExit(
            f"{target.name} is no copy of {source.name}: {len(sides[0] ^ sides[1])} objects differ"
        )


def _fill(bucket: Bucket, keys: list[str], content: Callable[[], bytes]) -> None:
    for key in INFOS:
        bucket.put(key, b"info")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: bucket.put(key, content()), keys))


@contextmanager
def _stores(folder: Path, authority: Authority) -> Iterator[Pair]:
    with (
        running(folder / "north", authority, "127.78.0.51", 18433, "bench-*") as north,
        running(folder / "south", authority, "127.78.1.51", 18533, "bench-*") as south,
    ):
        yield Pair(north, south, folder)


def _run(argv: list[str], environment: dict[str, str], given: str) -> tuple[float, float]:
    """CPU seconds and MiB at the peak of one program, which must succeed."""
    known = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as stdin:
        stdin.write(given)
        stdin.seek(0)
        process = subprocess.Popen(argv, env={**known, **environment}, stdin=stdin, stdout=told, stderr=told)
        peak, deadline = 0.0, time.monotonic() + LIMIT_S
        while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, _peak(process.pid))
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
        _, status, used = waited
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        if process.returncode:
            raise SystemExit(f"{argv[0]}: exit {process.returncode}\n{told.read()[-2000:]}")
    return used.ru_utime + used.ru_stime, peak


def _peak(pid: int) -> float:
    """MiB at the peak so far of one program alone: ru_maxrss counts its parent's memory at the fork too."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def listing_memory(folder: Path, authority: Authority, keys: int) -> float:
    """MiB at the peak of a pass that changes nothing, over so many keys on either side."""
    place, address, port = folder / f"listing-{keys}", "127.78.2.51", 18633
    place.mkdir()
    authority.issue(address, place)
    argv = [sys.executable, str(HERE / "listing_server.py"), str(place), address, str(port), str(keys)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            server.stdout.readline()  # type: ignore[union-attr]
            side = {
                "endpoint": f"https://{address}:{port}",
                "bucket": "bench",
                "region": "north",
                "credentials": ["a", "b"],
                "ca_certificate": authority.path.read_text(),
            }
            given = json.dumps({"source": side, "target": side})
            _, peak = _run(
                [sys.executable, str(HERE / "pull_once.py")], {"PYTHONPATH": str(Path.cwd())}, given
            )
        finally:
            server.kill()
    return round(peak, 1)


def main() -> None:
    """Print the numbers, and write them to build/bench-replication.json."""
    given = [int(each) for each in sys.argv[1:]]
    results = measure(*given)
    write_results("bench-replication.json", results)
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
