"""Sealed points under faults, on a lab that is up (DR_LAB): flips, kills, a moved clock, and leaks.

points_faults.py [flips|kills|clock|leaks ...]: all of them where none is named; COUNT (50) flips, KILLS (10).
SITE is whose bucket is flipped, the active site where not set. What it wrote is taken away again.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil

from infra.lab.home import Home, default_directory, program
from tasks.clients import points, secret_sources
from tasks.clients.objects import Bucket
from tasks.clients.truth import active_site
from tasks.errors import DrError
from tasks.facts.backups import Point
from tasks.policy.retention import expire
from tasks.redis_backup import take_redis_backup, verify_redis_backup
from tasks.secrets_backup import backup_secret
from tasks.verify_points import verify_points

HOME = Home(default_directory())
PLAN = HOME.plan()
ACTIVE = active_site(PLAN)
FLOWS = ("backup_redis", "backup_secrets")
ASSETS = ("redis", *secret_sources.assets(PLAN))
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
RANDOM = random.Random(SEED)  # noqa: S311 -- to be told again


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8",
        "DR_LAB": str(HOME.directory), "DR_PLAN": str(HOME.plan_file),
    }  # fmt: skip


def dr(*arguments: str) -> "subprocess.Popen[bytes]":
    argv, pipe = [program("dr"), *arguments], subprocess.PIPE
    return subprocess.Popen(
        argv, env=environment(), stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True
    )


def take_all() -> dict[str, points.StoredPoint]:
    return {"redis": take_redis_backup.fn(PLAN)} | {
        a: backup_secret.fn(PLAN, a) for a in ASSETS if a != "redis"
    }


@contextmanager
def ours() -> Iterator[None]:
    """Take away what was written meanwhile."""
    before = {entry.key for entry in Bucket.owned(PLAN, ACTIVE).list(points.ROOT)}
    try:
        yield
    finally:
        bucket = Bucket.owned(PLAN, ACTIVE)
        for entry in list(bucket.list(points.ROOT)):
            if entry.key not in before:
                bucket.delete(entry.key)


def flips() -> None:
    """Every single flipped bit is named by its key; between them, nothing is found."""
    site, count = os.environ.get("SITE", ACTIVE), int(os.environ.get("COUNT", "50"))
    if site == ACTIVE:
        take_all()
    bucket = Bucket.owned(PLAN, site)
    for kind in ("redis", "secrets"):
        assets = [asset for asset in ASSETS if asset.partition("/")[0] == kind]
        keys = [e.key for asset in assets for e in bucket.list(f"points/{asset}") if e.size]
        found = sum(_flipped_is_found(bucket, site, assets, RANDOM.choice(keys)) for _ in range(count))
        quiet = [v for v in verify_points.fn(PLAN, site, assets, Decimal(1)) if v.damages]
        say(f"flips {kind} at {site}: {found} of {count} named; afterwards {len(quiet)} false alarms")
        assert found == count
        assert not quiet


def _flipped_is_found(bucket: Bucket, site: str, assets: list[str], key: str) -> bool:
    data = bucket.get(key)
    bit = RANDOM.randrange(len(data) * 8)
    harmed = bytearray(data)
    harmed[bit // 8] ^= 1 << bit % 8
    bucket.put(key, bytes(harmed))
    try:
        mine = [asset for asset in assets if key.startswith(f"points/{asset}/")]
        named = {damage.name for v in verify_points.fn(PLAN, site, mine, Decimal(1)) for damage in v.damages}
        # Where it was the only point, that there is none is told besides.
        return key in named and named <= {key, f"points/{mine[0]}"}
    finally:
        bucket.put(key, data)


def kills() -> None:
    """kill -9 of each flow at random moments: no half point, the next run is whole, no server is left."""
    for flow in FLOWS:
        began = time.monotonic()
        assert dr("run", flow).wait(300) == 0
        length, moments = time.monotonic() - began, []
        for _ in range(int(os.environ.get("KILLS", "10"))):
            process, begun = dr("run", flow), time.monotonic()
            # Every other time while it stores, which is the least part of a run.
            if len(moments) % 2:
                _until_it_stores(process)
                time.sleep(RANDOM.uniform(0, 0.5))
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(length * RANDOM.uniform(0.3, 1.0))
            moments.append(time.monotonic() - begun)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            _all_whole()
        assert dr("run", flow).wait(300) == 0
        _all_whole()
        left = sum(len(points.survey(PLAN, ACTIVE, asset).unfinished) for asset in ASSETS)
        gone = len(points.remove_unfinished(PLAN, ACTIVE, before=datetime.now(UTC) + timedelta(minutes=1)))
        shown = ", ".join(f"{moment:.1f}" for moment in moments)
        say(f"kills {flow}: at {shown} of {length:.1f} s; {left} objects left, {gone} removed")
    time.sleep(1)
    servers = [p for p in psutil.process_iter() if p.name() == "redis-server" and p.cmdline()[1:2] == ["-"]]
    assert not servers, servers
    verify_redis_backup.fn(PLAN, points.stored(PLAN, ACTIVE, "redis")[-1])


def _until_it_stores(process: "subprocess.Popen[bytes]") -> None:
    bucket = Bucket.readable(PLAN, ACTIVE)
    known = {entry.key for entry in bucket.list(points.ROOT)}
    while process.poll() is None and not {entry.key for entry in bucket.list(points.ROOT)} - known:
        time.sleep(0.02)


def _all_whole() -> None:
    for asset in ASSETS:
        found = points.survey(PLAN, ACTIVE, asset)
        assert not found.broken, found.broken
        for point in found.points:
            assert points.damages(PLAN, ACTIVE, point, read=True) == ()


def clock() -> None:
    """100 days of schedules: exactly the points within the plan's retention remain, the last one always."""
    sealed, kept = PLAN.protection, PLAN.backup_strategy.configuration.retention
    days = {
        "redis": (sealed.redis.retention, timedelta(hours=4)),
        "secrets/clock": (sealed.secrets.retention, timedelta(days=1)),
        "configuration/clock": (kept, timedelta(hours=12)),
    }
    begin = datetime(2001, 1, 1, tzinfo=UTC)
    for name, (retention, every) in days.items():
        asset = f"{name.partition('/')[0]}/clock"
        at, taken = begin, []
        while at <= begin + timedelta(days=100):
            points.store(PLAN, ACTIVE, asset, at, {"x": b"x"}, {})
            taken.append(at)
            if at.hour == 0:
                _expire(asset, retention, at)
                left = [point.at for point in points.stored(PLAN, ACTIVE, asset)]
                assert left == [moment for moment in taken if at - moment < retention], at
            at += every
        _expire(asset, retention, begin + timedelta(days=1000))
        assert [point.at for point in points.stored(PLAN, ACTIVE, asset)] == taken[-1:]
        assert not points.survey(PLAN, ACTIVE, asset).unfinished
        say(f"clock {name}: {len(taken)} taken, {len(left)} stayed after 100 days, 1 for ever")


def _expire(asset: str, retention: timedelta, now: datetime) -> None:
    stored = {point.stamp: point for point in points.stored(PLAN, ACTIVE, asset)}
    facts = [Point(asset, ACTIVE, stamp, "snapshot", point.at) for stamp, point in stored.items()]
    for gone in expire(facts, {"snapshot": retention}, now).remove:
        points.remove(PLAN, ACTIVE, stored[gone.name])


def leaks() -> None:
    """While the backups run, no secret is in a command line or an output; nor in a file of the lab then."""
    values = _values()
    told = b""
    for flow in FLOWS:
        process, seen = dr("run", flow), 0
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        while process.poll() is None:
            for line in _command_lines():
                seen += 1
                assert not _inside(values, line), f"a secret in a command line during {flow}"
            told += process.stdout.read() or b""
            time.sleep(0.01)
        told += process.stdout.read() or b""
        assert process.returncode == 0, told.decode()
        say(f"leaks {flow}: {seen} command lines looked at")
    assert not _inside(values, told), "a secret in an output"
    files, found = 0, []
    own = [
        HOME.directory / "secrets",
        *HOME.directory.glob("sites/*/*/etc"),
        *HOME.directory.glob("sites/*/*/identities.json"),
        *HOME.directory.glob("edge/etc"),
    ]
    for root in (HOME.directory, Path.home() / ".prefect"):
        for path in root.rglob("*"):
            if path.is_symlink() or not path.is_file() or any(path.is_relative_to(each) for each in own):
                continue
            files += 1
            with suppress(OSError):
                found += [(path, name) for name in _inside(values, path.read_bytes())]
    shown = sorted({f"{path.relative_to(path.anchor)}: {name}" for path, name in found})
    say("\n  ".join([f"leaks: {len(values)} secrets in {files} files: {len(shown)} hits", *shown]))


def _values() -> dict[str, bytes]:
    found = {}
    for name, content in secret_sources.read(PLAN, "secrets/plan", ACTIVE).items():
        if b"CERTIFICATE" not in content and b"age1" not in content:
            found |= {f"{name}{i}": part for i, part in enumerate(_parts(content))}
    key = PLAN.folder / PLAN.protection.secrets.recovery_key.removeprefix("file:")
    return found | {"recovery_key": key.read_bytes().strip()}


def _parts(content: bytes) -> list[bytes]:
    """A secret, or the secret half of credentials."""
    if content.startswith(b"{"):
        return [content.split(b'"')[-2]]
    return [content.strip()]


def _inside(values: dict[str, bytes], data: bytes) -> list[str]:
    return [name for name, value in values.items() if value in data]


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


def main() -> None:
    say(f"SEED={SEED}")
    wanted = sys.argv[1:] or ["flips", "kills", "clock", "leaks"]
    for name in wanted:
        began = time.monotonic()
        with ours():
            globals()[name]()
        say(f"{name}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except DrError as error:
        sys.exit(str(error))
