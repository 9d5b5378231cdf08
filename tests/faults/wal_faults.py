"""Every fault of WAL archiving, and COUNT (100) healthy checks idle and COUNT under load.

On a lab of its own, or on the one that LAB names, which is left running.
Prints what was found of each and writes it to build/wal-faults.json; exit 1 where a fault was not found by
its name or a healthy check found anything.
"""

# ruff: noqa: T201, E402 -- a script: it prints, and finds the planting beside it
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from lab_handle import Lab
from second_cluster import SecondCluster
from wal_planting import Ground, dumped

from deployments.run import without_server
from infra.lab.home import Home

COUNT = int(os.environ.get("COUNT", "100"))


def planted(ground):
    """Each fault: what it is, how it is planted, whether WAL is switched, and the name that must be found."""
    active, archive = ground.active, ground.plan.site_of("archive")
    dr = ground.plan.site_of("dr")
    yield "command /bin/true", lambda: ground.archive_command("/bin/true"), ("primary", "stored")
    yield "wrong bucket in place", lambda: ground.wrong_bucket(in_place=True), ("primary", "bucket")
    yield "wrong bucket by command", lambda: ground.wrong_bucket(in_place=False), ("primary", "bucket")
    yield "segment deleted", lambda: ground.object_lost(ground.everywhere()), (active, "continuity")
    for lost in (1, 7, 16, 32, 320):
        what = f"segment truncated by {lost} bytes"
        yield what, lambda lost=lost: ground.object_truncated(ground.everywhere(), lost), (active, "copies")
    for site in (active, dr, archive):
        yield f"store of {site} stopped", lambda site=site: ground.store_stopped(site), (site, "repository")
        yield f"store of {site} killed", lambda site=site: ground.store_killed(site), (site, "repository")
    yield (
        "promoted copy",
        lambda: SecondCluster(ground).restored_copy(promoted=True),
        (active, "foreign cluster"),
    )
    yield (
        "started copy",
        lambda: SecondCluster(ground).restored_copy(promoted=False),
        (active, "foreign cluster"),
    )
    yield "another cluster", SecondCluster(ground).another_cluster, ("primary", "system")
    yield "hanging archiver", ground.hanging_archiver, ("primary", "backlog")


def find(ground, what, plant, name):
    """Plant one fault, see it by its name, heal it, and see nothing any more."""
    switch = not what.startswith(("store", "promoted", "started", "another"))
    began = time.monotonic()
    with plant():
        seen = ground.check(switch=switch)
        deadline = time.monotonic() + 90
        while seen.get(name) != "critical" and time.monotonic() < deadline:
            seen = ground.check(switch=switch)
    found_s = time.monotonic() - began
    ground.green()
    result = {"found": seen.get(name) == "critical", "seconds": round(found_s, 1), "seen": dumped(seen)}
    print(f"{what}: {result}", flush=True)
    return result


@contextmanager
def pgbench(ground):
    """pgbench against the primary until the block ends."""
    binaries = ground.plan.access.postgres_bin
    shell = ground.plan.access.shell.format(address=ground.node.host).split()
    base = f"-h {ground.layout.root}/run/postgresql -U postgres"
    ground.on_primary(f"createdb {base} bench && {binaries}/pgbench {base} -q -i -s 10 bench", timeout=300)
    with subprocess.Popen(
        [*shell, f"exec {binaries}/pgbench {base} -c 4 -T 36000 bench"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as load:
        try:
            yield
        finally:
            load.terminate()
            load.wait(30)
            time.sleep(1)
            ground.on_primary(f"dropdb --force {base} bench")


def healthy(ground, what, count):
    """Checks of a healthy lab, a second apart at least; how many found anything, and what."""
    wrong, slowest = [], 0.0
    for number in range(count):
        began = time.monotonic()
        seen = ground.check()
        took = time.monotonic() - began
        slowest = max(slowest, took)
        if seen:
            wrong.append(dumped(seen))
            print(f"{what} {number}: {dumped(seen)}", flush=True)
        time.sleep(max(0.0, 1 - took))
    result = {"checks": count, "alarms": len(wrong), "slowest_s": round(slowest, 1), "seen": wrong[:10]}
    print(f"{what}: {result}", flush=True)
    return result


@contextmanager
def a_lab():
    """The lab that LAB names, or one that ends with the block."""
    if "LAB" in os.environ:
        yield Lab(Home(Path(os.environ["LAB"])), "loopback")
        return
    directory = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
    directory.chmod(0o755)
    lab = Lab(Home(directory), "loopback")
    try:
        lab.dr("lab", "up", timeout=300)
        yield lab
    finally:
        lab.dr("lab", "down")


def main():
    """Run everything, and say what went wrong."""
    logging.disable(logging.ERROR)
    results = {}
    try:
        with a_lab() as lab, without_server():
            lab.dr("run", "backup-database", timeout=900)
            lab.dr("run", "replicate-backups", timeout=900)
            run(Ground(lab), results)
    finally:
        with suppress(OSError):
            (ROOT / "build").mkdir(exist_ok=True)
            (ROOT / "build" / "wal-faults.json").write_text(json.dumps(results, indent=2))
    bad = [what for what, each in results.items() if each.get("alarms") or each.get("found") is False]
    print(f"{len(results)} runs, bad: {bad or 'none'}")
    return 1 if bad else 0


def run(ground, results):
    """Every fault, then healthy, idle and under load."""
    ground.green()
    for what, plant, name in planted(ground):
        results[what] = find(ground, what, plant, name)
    results["healthy idle"] = healthy(ground, "healthy idle", COUNT)
    with pgbench(ground):
        results["healthy under pgbench"] = healthy(ground, "healthy under pgbench", COUNT)
    ground.green()


if __name__ == "__main__":
    sys.exit(main())
