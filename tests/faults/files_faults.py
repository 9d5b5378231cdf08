"""Faults of the files' repositories: killed runs, stores that stop, refuse or fill up.

`python tests/faults/files_faults.py [PART ...]` in the repository's root; PART is one of healthy, kills,
forget, stores; all where none is named. SEED (random). Prints what it saw; fails at the first thing that is
not as it must be.
"""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import psutil
from stores import stores

from infra.lab.home import program
from infra.lab.storage import storage_identities
from tasks.clients import restic, restic_command
from tasks.clients.objects import Bucket
from tasks.clients.trees import tree_digest
from tasks.errors import DrError, Permanent, Transient

PRIMARY, DR, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
HOST, ASSET, SOURCE = "app-east-1", "files/uploads", "/srv/naas/uploads"
SEED = int(os.environ.get("SEED") or secrets.randbelow(10**6))
dice = random.Random(SEED)  # noqa: S311 -- faults, not secrets


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201


def back_up(lab, timeout=300.0, at=None):
    return restic.backup(lab.plan, PRIMARY, HOST, ASSET, SOURCE, at=at, timeout=timeout)


def check(lab, site, share="1"):
    return restic.check(lab.plan, site, share=Decimal(share), timeout=300)


def source(lab):
    return lab.root(PRIMARY, HOST) / SOURCE.lstrip("/")


def copy_to(lab, target):
    """What replication does: every object but locks and birth record; what is there already stays."""
    here, there = Bucket.readable(lab.plan, PRIMARY), Bucket.owned(lab.plan, target)
    held = {entry.key for entry in there.list("restic")}
    for entry in here.list("restic"):
        if entry.key not in held and not entry.key.startswith(("restic/locks/", "restic/birth")):
            there.put(entry.key, here.get(entry.key))


def assert_whole(lab, site=PRIMARY, snapshot=None):
    """A copy without damage, whose newest or named snapshot comes back as the source is."""
    assert check(lab, site) == ()
    snapshot = snapshot or restic.snapshots(lab.plan, site)[-1].id
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "back")
        restic.restore(lab.plan, site, snapshot, into, timeout=300)
        assert tree_digest(into / SOURCE.lstrip("/")) == tree_digest(source(lab))


@contextmanager
def extra(lab, megabytes):
    """So much more in the source, new each time, so that a backup of it takes a while."""
    path = source(lab) / "extra"
    path.write_bytes(os.urandom(megabytes * 1_000_000))
    path.chmod(0o644)
    try:
        yield
    finally:
        path.unlink()


def healthy(lab):
    """A healthy copy is never called damaged, also while it is written and pruned."""
    for number in range(100):
        site = (PRIMARY, DR, ARCHIVE)[number % 3]
        assert check(lab, site, "1" if number % 10 == 0 else "0.1") == ()
    say("100 of 100 checks of healthy copies without an alarm")
    ended, looks = False, 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_busy, lab)
        while not ended:
            ended = running.done()
            try:
                assert check(lab, PRIMARY, "0.1") == ()
                looks += 1
            except Transient as error:
                assert "being written" in str(error)  # noqa: PT017 -- an accepted answer
        running.result()
    say(f"{looks} checks during backups and prunes without an alarm")


def _busy(lab):
    for _ in range(5):
        with extra(lab, 10):
            made = back_up(lab)
        restic.forget(lab.plan, PRIMARY, [made], timeout=120)


def kills(lab):
    """Kill the flow and restic at ten random moments; the repository stays whole, the next run succeeds."""
    environment = {**os.environ, "PYTHONPATH": "."}
    argv = [program("dr"), "run", "backup_files"]
    with extra(lab, 100):
        for _ in range(2):  # the second one tells how long it takes
            began = time.monotonic()
            subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=300)
        whole = time.monotonic() - began
        for number in range(10):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            (source(lab) / "extra").write_bytes(os.urandom(100_000_000))
            flow = subprocess.Popen(argv, env=environment, start_new_session=True, **quiet)
            # Half of them at any moment of the flow, half while restic runs.
            if number % 2:
                _wait_for_restic(lab, flow)
            moment = dice.uniform(0, 4) if number % 2 else dice.uniform(0.05, 0.8) * whole
            time.sleep(moment)
            dead = _kill_all(lab, flow)
            assert check(lab, PRIMARY) == ()
            locks = len(list(Bucket.readable(lab.plan, PRIMARY).list("restic/locks")))
            since = "restic's start" if number % 2 else f"the start, of {whole:.1f} s"
            say(f"kill {number + 1}, {moment:.1f} s after {since}: {dead}, {locks} locks left, whole")
        back_up(lab)
        assert_whole(lab)
    say("after ten kills: a backup succeeds, all of it comes back")


def _wait_for_restic(lab, flow):
    deadline = time.monotonic() + 120
    while not any(_is_ours(lab, p) for p in psutil.process_iter(["name", "cwd"])):
        assert flow.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _kill_all(lab, flow):
    victims = [p for p in psutil.process_iter(["name", "cwd"]) if _is_ours(lab, p)]
    for process in victims:
        process.kill()
    ended = flow.poll() is not None
    if not ended:
        os.killpg(flow.pid, signal.SIGKILL)
    flow.wait(10)
    return f"{len(victims)} restic killed" + (", flow had ended" if ended else "")


def _is_ours(lab, process):
    return process.info["name"] == "restic" and str(process.info["cwd"]).startswith(str(lab.home.directory))


FORGET = """
import pathlib, sys
from tasks.clients import restic
from tasks.plan.load import load_plan
restic.forget(load_plan(pathlib.Path(sys.argv[1])), sys.argv[2], sys.argv[3:], timeout=120)
"""


def forget(lab):
    """Kill a forget at ten random moments; every snapshot that stays is whole, the next forget ends it."""
    kept = back_up(lab)
    for _ in range(10):
        with extra(lab, 15):
            gone = back_up(lab)
        argv = [sys.executable, "-c", FORGET, str(lab.home.plan_file), PRIMARY, gone]
        process = subprocess.Popen(argv, start_new_session=True, env={**os.environ, "PYTHONPATH": "."})
        moment = dice.uniform(0.8, 3.5)
        time.sleep(moment)
        ended = process.poll() is not None
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        assert_whole(lab, snapshot=kept)
        restic.forget(lab.plan, PRIMARY, [gone], timeout=120)
        assert gone not in {each.id for each in restic.snapshots(lab.plan, PRIMARY)}
        say(f"forget killed after {moment:.1f} s{' (had ended)' if ended else ''}: whole, then done")
    assert_whole(lab, snapshot=kept)


def stores_fail(lab):
    """The store stops, refuses or fills up in the middle: a clear failure or a late success, then healed."""
    restic_command._PATIENCE_S = 20.0
    _stopped(lab)
    _read_only(lab)
    _full(lab)


def _stopped(lab):
    with extra(lab, 200), ThreadPoolExecutor(1) as pool:
        running = pool.submit(back_up, lab)
        _wait_for_packs(lab, 2)
        lab.stop(PRIMARY)
        time.sleep(5)
        lab.serve_again(PRIMARY)
        running.result(300)
        assert_whole(lab)
    say("stopped for 5 s in the middle of a backup: it succeeded, whole")
    with extra(lab, 200), ThreadPoolExecutor(1) as pool:
        running = pool.submit(back_up, lab)
        _wait_for_packs(lab, 2)
        lab.stop(PRIMARY)
        began = time.monotonic()
        error = running.exception(300)
        assert isinstance(error, Transient), error
        say(f"stopped for good: after {time.monotonic() - began:.0f} s: {error.message}")
        lab.serve_again(PRIMARY)
        back_up(lab)
        assert_whole(lab)
    say("then the next backup succeeded, whole")


def _read_only(lab):
    identities = lab.root(PRIMARY, "storage-east") / "identities.json"
    usual = identities.read_text()
    storage = lab.plan.sites[PRIMARY].storage
    reader, owner = lab.plan.credentials(storage.reader), lab.plan.credentials(storage.owner)
    text = storage_identities(storage.bucket, owner, reader).replace(f"Admin:{storage.bucket}", "Read")
    with extra(lab, 200), ThreadPoolExecutor(1) as pool:
        running = pool.submit(back_up, lab)
        _wait_for_packs(lab, 2)
        identities.write_text(text)
        lab.stop(PRIMARY)
        lab.serve_again(PRIMARY)
        began = time.monotonic()
        error = running.exception(300)
        assert isinstance(error, Permanent), error
        say(f"read-only in the middle: after {time.monotonic() - began:.0f} s: {error.message}")
        for act in (lambda: back_up(lab), lambda: restic.forget(lab.plan, PRIMARY, ["0" * 64], timeout=60)):
            try:
                act()
            except DrError as refused:
                say(f"read-only: {type(refused).__name__}: {refused.message}")
            else:
                raise AssertionError("a read-only store was written")
        assert check(lab, PRIMARY) == ()
        identities.write_text(usual)
        lab.stop(PRIMARY)
        lab.serve_again(PRIMARY)
        back_up(lab)
        assert_whole(lab)
    say("writable again: the next backup succeeded, whole")


def _full(lab):
    """On a file system of its own that has 60 MB left."""
    data = lab.root(PRIMARY, "storage-east") / "data"
    used = sum(path.stat().st_blocks for path in data.rglob("*")) // 2
    with tempfile.TemporaryDirectory(dir="/tmp") as held:
        lab.stop(PRIMARY)
        small = Path(held, "small")
        small.mkdir()
        _sh("mount", "-t", "tmpfs", "-o", f"size={used + 60_000}k", "tmpfs", str(small))
        _sh("cp", "-a", f"{data}/.", str(small))
        _sh("mount", "--bind", str(small), str(data))
        _sh("chown", "--reference", str(data.parent), str(data))
        lab.serve_again(PRIMARY)
        with extra(lab, 200):
            began = time.monotonic()
            try:
                back_up(lab, timeout=120)
            except DrError as error:
                took = time.monotonic() - began
                say(f"full in the middle: after {took:.0f} s: {type(error).__name__}: {error.message}")
            else:
                raise AssertionError("a full store took 200 MB")
            say(f"full: check says {check(lab, PRIMARY)}")
            _sh("mount", "-o", f"remount,size={used + 1_500_000}k", str(small))
            lab.stop(PRIMARY)
            lab.serve_again(PRIMARY)
            back_up(lab)
            assert_whole(lab)
        say("with room again: the next backup succeeded, whole")
        lab.stop(PRIMARY)
        _sh("umount", str(data))
        _sh("umount", str(small))
        lab.serve_again(PRIMARY)


def _sh(*argv):
    subprocess.run(argv, check=True, timeout=60)


def _wait_for_packs(lab, more, timeout=60):
    bucket, deadline = Bucket.readable(lab.plan, PRIMARY), time.monotonic() + timeout
    before = sum(1 for _ in bucket.list("restic/data"))
    while sum(1 for _ in bucket.list("restic/data")) < before + more:
        assert time.monotonic() < deadline
        time.sleep(0.05)


PARTS = {"healthy": healthy, "kills": kills, "forget": forget, "stores": stores_fail}


def main(wanted):
    say(f"seed {SEED}")
    with stores() as lab:
        for _ in range(3):
            back_up(lab)
            (source(lab) / f"added {time.monotonic_ns()}").write_bytes(os.urandom(50_000))
        back_up(lab)
        for site in (DR, ARCHIVE):
            copy_to(lab, site)
        for name in wanted or PARTS:
            say(f"--- {name}")
            PARTS[name](lab)
    say("all as it must be")


if __name__ == "__main__":
    main(sys.argv[1:])
