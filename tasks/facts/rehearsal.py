"""What a restore drill holds a copy against, and where it restores it, as frozen facts."""

from dataclasses import dataclass, field
from datetime import datetime

from tasks.clients.standpoint import Range
from tasks.facts.place import Place


@dataclass(frozen=True)
class Reference:
    """A standby's rows at one position.

    Attributes:
        standby: the node.
        lsn: everything before this position is in it, and nothing from it on.
        at: when it stood there.
        segment: the WAL segment that a copy needs to be recovered to it.
        ranges: how many ranges the tables have.
        digests: of those that were read: the range, its rows and the sum of their hashes.
    """

    standby: str
    lsn: str
    at: datetime
    segment: str
    ranges: int
    digests: tuple[tuple[Range, int, int], ...] = field(repr=False)

    @property
    def rows(self) -> int:
        """Those that were read."""
        return sum(rows for _, rows, _ in self.digests)


@dataclass(frozen=True)
class Target:
    """What is restored to where.

    Attributes:
        place: whose copy, and where to: a host that does not lead, a directory that bears the drill's id.
        point: what is restored, in words.
        at: the moment to recover to.
        lsn: or the position, exclusive.
        lost_s: for how many seconds the copy lacked what the source had; None where nobody knows.
    """

    place: Place
    point: str
    at: datetime | None = None
    lsn: str | None = None
    lost_s: float | None = None
