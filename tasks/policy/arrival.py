"""How far each site is behind the primary, in seconds. Pure."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.clients.walnames import Segment


@dataclass(frozen=True)
class Writing:
    """Where the primary was seen writing, by its own clock."""

    at: datetime
    lsn: int
    timeline: int
    segment_size: int


@dataclass(frozen=True)
class Newest:
    """The newest whole segment of a repository, and when the store took it."""

    segment: Segment
    taken: datetime


def arrived(newest: Newest, writing: Writing) -> datetime:
    """When a repository last held all archived WAL: now, where it lacks only the segment being written."""
    current = writing.lsn // writing.segment_size
    return writing.at if newest.segment.number >= current - 1 else newest.taken


def cold_age(newest: Newest, writing: Writing, archive_timeout: timedelta) -> timedelta:
    """The age of the newest commit that a recovery from this repository would reach.

    Nothing is behind an idle primary; the segment that is being written is archived within archive_timeout.
    """
    behind = writing.lsn - newest.segment.end(writing.segment_size)
    if behind <= 0:
        return timedelta(0)
    age = max(timedelta(0), writing.at - newest.taken)
    return min(age, archive_timeout) if behind <= writing.segment_size else age


class Track:
    """Where the primary was at what time, to tell since when a standby is behind."""

    def __init__(self) -> None:
        self._seen: deque[Writing] = deque(maxlen=1000)

    def saw(self, writing: Writing) -> None:
        """Remember a look; a primary that went back, or on another timeline, is a new one."""
        if self._seen and (self._seen[-1].timeline, self._seen[-1].lsn) > (writing.timeline, writing.lsn):
            self._seen.clear()
        self._seen.append(writing)

    def behind(self, lsn: int, last_commit: datetime | None) -> timedelta | None:
        """How long ago the primary was where the standby is; else the age of the standby's last commit.

        A standby that has replayed no commit since it began is as late as it is looked at, at least; None
        at the first look.
        """
        now = self._seen[-1].at
        reached = [writing.at for writing in self._seen if writing.lsn <= lsn]
        if not reached and last_commit is None and len(self._seen) == 1:
            return None
        since = max(reached) if reached else last_commit or self._seen[0].at
        return max(timedelta(0), now - since)
