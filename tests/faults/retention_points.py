"""A hundred simulated days of sealed points: exactly the plan's points remain.

`python tests/faults/retention_points.py` in the repository's root.
"""

import sys
from datetime import UTC, datetime, timedelta

from stores import stores

from tasks.clients import points
from tasks.facts.backups import Point
from tasks.plan.plan import Plan
from tasks.policy.retention import expire

SITE = "us-east-1"
BEGIN = datetime(2001, 1, 1, tzinfo=UTC)
DAYS = 100


def main() -> None:
    """Each kind with its own retention, and an interval of its backups."""
    with stores() as lab:
        sealed, changes = lab.plan.protection, lab.plan.backup_strategy.configuration
        kinds = {
            "redis": (sealed.redis.retention, timedelta(hours=4)),
            "secrets": (sealed.secrets.retention, timedelta(days=1)),
            "configuration": (changes.retention, timedelta(hours=12)),
        }
        for kind, (retention, every) in kinds.items():
            simulate(lab.plan, f"{kind}/clock", retention, every)


def simulate(plan: Plan, asset: str, retention: timedelta, every: timedelta) -> None:
    """Store and expire on schedule; look every day at midnight, and once long after the last backup."""
    at, taken, left = BEGIN, [], []
    while at <= BEGIN + timedelta(days=DAYS):
        points.store(plan, SITE, asset, at, {"x": b"x"}, {})
        taken.append(at)
        if at.hour == 0:
            left = expired(plan, asset, retention, at)
            assert left == [moment for moment in taken if at - moment < retention], at
        at += every
    assert expired(plan, asset, retention, BEGIN + timedelta(days=10 * DAYS)) == taken[-1:]
    assert not points.survey(plan, SITE, asset).unfinished
    sys.stdout.write(f"{asset}: {len(taken)} taken, {len(left)} stayed after {DAYS} days, 1 for ever\n")


def expired(plan: Plan, asset: str, retention: timedelta, now: datetime) -> list[datetime]:
    """Expire, and tell what is still there."""
    stored = {point.stamp: point for point in points.stored(plan, SITE, asset)}
    facts = [Point(asset, SITE, stamp, "snapshot", point.at) for stamp, point in stored.items()]
    for gone in expire(facts, {"snapshot": retention}, now).remove:
        points.remove(plan, SITE, stored[gone.name])
    return [point.at for point in points.stored(plan, SITE, asset)]


if __name__ == "__main__":
    main()
