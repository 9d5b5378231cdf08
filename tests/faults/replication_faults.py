"""Break replication in its middle: the pull killed, its store stopped, read-only, or full; then heal it.

Every broken run must fail clearly or end well, and leave a copy that names nothing it lacks; the next run
must bring it up to its source without a conflict. COUNT kills (10), from SEED (random). Needs root, for a
small file system that fills up.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "lab"), str(HERE.parent / "bench")]

from bucket_stores import STANZA, running_stores  # noqa: E402 -- beside the lab tests
from repositories import ARCHIVE, BACKUP, segment  # noqa: E402

from tasks.clients.objects import Bucket  # noqa: E402
from tasks.copying import Rules, pull_repository  # noqa: E402
from tasks.errors import DrError, Permanent  # noqa: E402
from tasks.policy.replication import repositories  # noqa: E402

COUNT, SEED = int(os.environ.get("COUNT", "10")), int(os.environ.get("SEED", str(time.time_ns() % 10**6)))
OBJECTS, SIZE = 300, 64 * 1024
OF = repositories(STANZA)["pgbackrest"]
RULES = Rules()


def main() -> None:
    """Run the campaign; exit 1 where a copy is not healed or a broken run said nothing."""
    chance = random.Random(SEED)  # noqa: S311 -- moments, not secrets
    sys.stdout.write(f"SEED={SEED}\n")
    with (
        tempfile.TemporaryDirectory(prefix="dr-faults-") as name,
        small_disk(Path(name)) as disk,
        running_stores(Path(name)) as plan,
    ):
        results = {
            "killed": [killed(plan, chance) for _ in range(COUNT)],
            "store stopped": [stopped(plan, chance) for _ in range(3)],
            "store read-only": [read_only(plan)],
            "store full": [full(plan, disk)],
        }
    for kind, outcomes in results.items():
        sys.stdout.write(f"{kind}: {json.dumps(outcomes)}\n")
    if any(
        not (each["healed"] and each["told"] and each["whole"])
        for outcomes in results.values()
        for each in outcomes
    ):
        raise SystemExit(1)


def killed(plan, chance):
    """Kill the pull with SIGKILL at a random moment."""
    source, target = fresh(plan)
    process = pulling(plan)
    time.sleep(chance.uniform(0.5, 5))
    process.kill()
    process.wait(10)
    there = len(list(target.list("pgbackrest")))
    return {
        "there": there,
        "told": True,
        "whole": names_nothing_it_lacks(target),
        "healed": heals(source, target),
    }


def stopped(plan, chance):
    """Stop the target's store in the middle, and let it go on after the pull gave up or waited."""
    source, target = fresh(plan)
    process = pulling(plan)
    time.sleep(chance.uniform(1, 3))
    store = plan.stores["south"].process
    store.send_signal(signal.SIGSTOP)
    time.sleep(20)
    store.send_signal(signal.SIGCONT)
    return {"told": ended(process), "whole": names_nothing_it_lacks(target), "healed": heals(source, target)}


def read_only(plan):
    """Pull with credentials that may not write."""
    source, target = fresh(plan)
    told = refused(lambda: pull_repository(source, Bucket.readable(plan, "south"), OF, RULES), Permanent)
    return {"told": told, "whole": names_nothing_it_lacks(target), "healed": heals(source, target)}


def full(plan, disk):
    """Fill the target's disk in the middle; then make it larger."""
    source, target = fresh(plan)
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1024 * 1024))
            file.flush()
    told = refused(lambda: pull_repository(source, target, OF, RULES), DrError)
    whole = names_nothing_it_lacks(target)
    filler.unlink()
    return {"told": told, "whole": whole, "healed": heals(source, target, patience=120)}


def fresh(plan):
    """A source with a repository of some size, and a target without one."""
    source, target = Bucket.owned(plan, "north", 60), Bucket.owned(plan, "south", 60)
    for entry in list(target.list()):
        target.delete(entry.key)
    if not list(source.list("pgbackrest")):
        for number in range(OBJECTS):
            source.put(segment(number), os.urandom(SIZE))
            source.put(f"{BACKUP}/20260101-020000F/pg_data/{number}.zst", os.urandom(SIZE))
        source.put(f"{BACKUP}/20260101-020000F/backup.manifest", b"manifest")
        for info in (f"{ARCHIVE}/archive.info", f"{BACKUP}/backup.info"):
            source.put(info, b"info")
            source.put(f"{info}.copy", b"info")
    return source, target


def names_nothing_it_lacks(target):
    """Whether a copy's info files and manifests are there only with what they name."""
    held = {entry.key for entry in target.list("pgbackrest")}
    files = sum(1 for key in held if "/pg_data/" in key)
    manifest = any(key.endswith("backup.manifest") for key in held)
    named = f"{BACKUP}/backup.info" in held
    return (files == OBJECTS or not manifest) and (manifest or not named)


def heals(source, target, patience=30):
    """Whether the next runs bring the copy up to its source, without a conflict."""
    deadline = time.monotonic() + patience
    while True:
        try:
            done = pull_repository(source, target, OF, RULES)
            break
        except DrError:
            if time.monotonic() > deadline:
                return False
            time.sleep(1)
    sides = [{(e.key, e.size, e.etag) for e in bucket.list("pgbackrest")} for bucket in (source, target)]
    return not done.conflicts and sides[0] == sides[1]


def pulling(plan):
    """A pull in a process of its own."""
    sides = {}
    for side, name in (("source", "north"), ("target", "south")):
        storage = plan.sites[name].storage
        key = plan.credentials(storage.owner)
        sides[side] = {
            "endpoint": storage.endpoint,
            "bucket": storage.bucket,
            "region": name,
            "credentials": [key.access_key, key.secret_key],
            "ca_certificate": plan.secret("ca"),
        }
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    argv = [sys.executable, str(HERE.parent / "bench" / "pull_once.py")]
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(sides))
    process.stdin.close()
    return process


def ended(process):
    """Whether a broken pull ended well, or said what failed."""
    try:
        code = process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        return False
    told = process.stderr.read()
    return code == 0 or "tasks.errors" in told or "not copied:" in told


def refused(act: Callable[[], object], kind: type[DrError]) -> bool:
    """Whether an act fails with one of our own errors."""
    try:
        act()
    except kind:
        return True
    return False


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A small file system under the target's store, which does not give back what was deleted."""
    disk = folder / "south"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", disk], check=True, timeout=10)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True, timeout=10)


if __name__ == "__main__":
    main()
