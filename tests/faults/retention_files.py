"""A hundred simulated days: a snapshot a day, expiry a day, on the repository and on a copy of it.

`python tests/faults/retention_files.py [DAYS]` in the repository's root. Every day exactly the points that
the plan keeps are there, at both sites, and at the end every one of them comes back.
"""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from files_faults import ASSET, DR, PRIMARY, SOURCE, back_up, check, copy_to, say, source
from stores import stores

from tasks.clients import restic
from tasks.files import points_of
from tasks.policy.retention import expire

FIRST = datetime(2026, 1, 1, 3, tzinfo=UTC)
LATER = timedelta(hours=3, minutes=30)  # expiry comes after the backup: 3:00 and 6:30 in the plan


def expire_at(lab, site, now):
    keep = {"snapshot": lab.plan.backup_strategy.filesystem.retention}
    decided = expire(points_of(lab.plan, site), keep, now)
    restic.forget(lab.plan, site, [point.name for point in decided.remove], timeout=120)
    return len(decided.remove)


def days_held(lab, site):
    return [point.at for point in points_of(lab.plan, site) if point.asset == ASSET]


def main(days):
    with stores() as lab:
        path = source(lab) / "of the day"
        retention = lab.plan.backup_strategy.filesystem.retention
        removed = dict.fromkeys((PRIMARY, DR), 0)
        for day in range(days):
            at = FIRST + timedelta(days=day)
            path.write_text(f"day {day}\n" * 1000)
            path.chmod(0o644)
            back_up(lab, at=at)
            copy_to(lab, DR)
            for site in (PRIMARY, DR):
                removed[site] += expire_at(lab, site, at + LATER)
                all_days = (FIRST + timedelta(days=each) for each in range(day + 1))
                assert days_held(lab, site) == [each for each in all_days if at + LATER - each < retention]
            if day % 10 == 9:
                say(f"day {day + 1}: {len(days_held(lab, DR))} points each; removed {removed}")
        for site in (PRIMARY, DR):
            assert check(lab, site) == ()
            for point in points_of(lab.plan, site):
                with tempfile.TemporaryDirectory() as folder:
                    into = Path(folder, "back")
                    restic.restore(
                        lab.plan, site, point.name, into, include=f"{SOURCE}/{path.name}", timeout=60
                    )
                    day = (point.at - FIRST).days
                    assert (into / SOURCE.lstrip("/") / path.name).read_text() == f"day {day}\n" * 1000
            say(f"{site}: exactly the plan's {len(days_held(lab, site))} points, every one comes back")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
