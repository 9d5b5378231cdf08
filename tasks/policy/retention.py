"""Which points are past their retention, and which of those stay all the same. Pure.

Source: seed, "Backup Schedule and Retention".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tasks.facts.backups import Expiry, Point


def expire(points: Sequence[Point], keep: Mapping[str, timedelta], now: datetime) -> Expiry:
    """Decide over all points of one asset at one site.

    A point is removed when it is older than its variant's retention, unless a point that stays needs it, or
    it is the newest good one. A variant without a retention is never removed; a point that is not good is
    removed like any other, and never counts as the last good one.

    Args:
        points: all of them; none of another asset or site.
        keep: the retention of each variant.
        now: the moment of the decision.

    Raises:
        ValueError: the points are of several assets or sites, or there is none.
    """
    [(asset, site)] = {(point.asset, point.site) for point in points}
    newest = max((point for point in points if point.good), key=lambda point: point.at, default=None)
    young = {point.name for point in points if not _past(point, keep, now)}
    staying = _with_needs(points, young | ({newest.name} if newest else set()))
    old = [point for point in points if point.name not in young]
    remove = sorted((point for point in old if point.name not in staying), key=lambda point: point.at)
    spared = tuple((point.name, _reason(point, newest)) for point in old if point.name in staying)
    return Expiry(asset, site, tuple(reversed(remove)), len(points) - len(remove), spared)


def wal_backups(backups: Sequence[Point], retention: timedelta, now: datetime) -> int:
    """Of how many of the newest backups all WAL is kept, so that any moment of the retention can be reached.

    Those that ended within it, and those before them up to a good one, from which its first moment is
    reached: pgBackRest's repo-retention-archive with repo-retention-archive-type=incr, which counts backups
    with errors too.
    """
    newest_first = sorted(backups, key=lambda backup: backup.at, reverse=True)
    for number, backup in enumerate(newest_first, 1):
        if backup.good and now - backup.at >= retention:
            return number
    return max(1, len(backups))


def _past(point: Point, keep: Mapping[str, timedelta], now: datetime) -> bool:
    retention = keep.get(point.variant)
    return retention is not None and now - point.at >= retention


def _with_needs(points: Sequence[Point], names: set[str]) -> set[str]:
    needs = {point.name: point.needs for point in points}
    reached, waiting = set(names), list(names)
    while waiting:
        for needed in needs.get(waiting.pop(), ()):
            if needed not in reached:
                reached.add(needed)
                waiting.append(needed)
    return reached


def _reason(point: Point, newest: Point | None) -> str:
    return "the last good one" if point == newest else "a point that stays needs it"
