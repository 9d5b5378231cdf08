"""The recoverable points in what the tools tell about their repositories. Pure.

Source: pgBackRest command reference, "Info Command: JSON Output".
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.facts.backups import Point


def database_points(
    info: Mapping[str, Any] | None, site: str, newest: datetime | None = None
) -> tuple[Point, ...]:
    """The backups of a stanza as points, oldest first.

    A backup restores to the moment it ended, and from there on to wherever its WAL goes.

    Args:
        info: the stanza as `pgbackrest info --output=json` tells it; None where there is none.
        site: whose copy it is.
        newest: until when the WAL in that copy is known to go; where None, no point has an `until` later
            than the backup's own end, since pgBackRest tells segments, not moments.
    """
    backups = sorted((info or {}).get("backup", ()), key=lambda each: each["timestamp"]["stop"])
    current = _current_database(info)
    return tuple(_point(backup, site, newest if _database(backup) == current else None) for backup in backups)


def _point(backup: Mapping[str, Any], site: str, newest: datetime | None) -> Point:
    at = datetime.fromtimestamp(backup["timestamp"]["stop"], UTC)
    return Point(
        asset="database",
        site=site,
        name=backup["label"],
        variant=backup["type"],
        at=at,
        until=max(at, newest) if newest else at,
        size=backup["info"]["repository"]["delta"],
        needs=_needs(backup),
        good=not backup["error"],
    )


def _needs(backup: Mapping[str, Any]) -> tuple[str, ...]:
    """What pgBackRest expires together with it: the backups it refers to, and the one before it."""
    named = [*(backup["reference"] or ()), *([backup["prior"]] if backup["prior"] else ())]
    return tuple(dict.fromkeys(named))


def _current_database(info: Mapping[str, Any] | None) -> tuple[int, int] | None:
    databases = [(each["repo-key"], each["id"]) for each in (info or {}).get("db", ())]
    return max(databases, key=lambda each: each[1], default=None)


def _database(backup: Mapping[str, Any]) -> tuple[int, int]:
    return backup["database"]["repo-key"], backup["database"]["id"]
