"""Faults in the configuration backups, on the lab that runs (DR_LAB), by hand.

configuration_faults.py flips SITE [COUNT] [SEED]    bit flips in SITE's points, each found by its key
configuration_faults.py kills [COUNT] [SEED]         kill -9 of backup_configuration, then again: restorable
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra.lab.home import Home, default_directory
from infra.lab.processes import MARK
from tasks.clients import points
from tasks.clients.objects import Bucket
from tasks.clients.truth import active_site
from tasks.restore_configuration import choose_point, restore_point

DR = str(Path(sys.executable).with_name("dr"))


def flips(plan, site, count, chance):
    """Every flip is found in the point that it hit, by the key that it hit, and nothing else is."""
    found = [each for each in points.stored(plan, site) if each.asset.startswith("configuration/")]
    assert found, f"{site} has no configuration points: run backup-configuration and replicate-backups first"
    assert not any(points.damages(plan, site, each, read=True) for each in found), "not healthy to begin with"
    bucket, missed, false, unrestorable = Bucket.owned(plan, site), 0, 0, 0
    for number in range(count):
        point = chance.choice(found)
        key = chance.choice([f"{point.folder}/manifest.json", *map(point.key, point.objects)])
        good = bucket.get(key)
        at, bit = chance.randrange(len(good)), chance.randrange(8)
        bucket.put(key, good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        try:
            seen = {each.folder: points.damages(plan, site, each, read=True) for each in found}
        finally:
            bucket.put(key, good)
        hit = key in [named for named, _ in seen[point.folder]]
        others = sum(len(each) for each in seen.values()) - hit
        missed, false = missed + (not hit), false + others
        say(f"{number + 1:3} {key} byte {at} bit {bit}: {seen[point.folder] if hit else 'MISSED'}")
    for asset in sorted({each.asset for each in found}):
        unrestorable += not restores(plan, asset, site)
    say(f"{site}: {count} flips, {missed} missed, {false} false alarms, {unrestorable} assets not restorable")
    return missed + false + unrestorable


def kills(plan, count, chance):
    """Killed at any moment, the points are whole or not there, and the next run stores what is missing."""
    repository, site = plan.folder / "repositories/application", active_site(plan)
    began = time.monotonic()
    assert backup().wait(300) == 0
    usual, broken = time.monotonic() - began, 0
    for number in range(count):
        head = commit(repository, f"before kill {number + 1}")
        process, after = backup(), chance.uniform(0.3, 1.0) * usual
        time.sleep(after)
        ended = process.poll() is not None
        end(process)
        mine = [each for each in points.stored(plan, site) if each.asset.startswith("configuration/")]
        damaged = [each.folder for each in mine if points.damages(plan, site, each, read=True)]
        again = backup().wait(300)
        newest = points.stored(plan, site, "configuration/application")[-1]
        good = (
            not damaged and again == 0 and newest.facts["head"] == head and restores(plan, newest.asset, site)
        )
        broken += not good
        how = "had ended" if ended else f"killed after {after:.1f} s"
        say(f"{number + 1:3} {how}: {len(mine)} points, {damaged or 'all whole'}, again exit {again}: "
              f"{'consistent, restorable' if good else 'BROKEN'}")  # fmt: skip
    left = len(points.survey(plan, site).unfinished)
    say(f"{count} kills within {usual:.1f} s, {broken} broken, {left} unfinished objects left for expiry")
    return broken


def restores(plan, asset, site):
    name = asset.partition("/")[2]
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose_point.fn(plan, name, site, None, None)
        proven = restore_point.fn(plan, name, chosen, Path(folder) / "into")
    return proven == chosen[1].facts.get("head", chosen[1].facts["digest"])


def commit(repository, text):
    (repository / "notes").write_text(text)
    git = ["git", "-C", str(repository), "-c", "user.name=f", "-c", "user.email=f@f.invalid"]
    for arguments in (["add", "notes"], ["commit", "--quiet", "--message", text]):
        subprocess.run([*git, *arguments], check=True, timeout=30)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True, timeout=30
                          ).stdout.strip()  # fmt: skip


def backup():
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    return subprocess.Popen(
        [DR, "run", "backup-configuration"], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def say(text):
    print(text, flush=True)  # noqa: T201 -- the figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("flips", "kills"))
    parser.add_argument("--site")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    given = parser.parse_args()
    plan = Home(default_directory().resolve()).plan()
    say(f"seed {given.seed}")
    chance = random.Random(given.seed)  # noqa: S311 -- places for faults
    if given.what == "flips":
        return flips(plan, given.site or active_site(plan), given.count or 50, chance)
    return kills(plan, given.count or 10, chance)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
