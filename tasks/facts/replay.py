"""Where a standby stands, and what of the archived WAL it replayed before its promotion, as frozen facts."""

from datetime import datetime

from pydantic import Field

from tasks.clients.walnames import SEGMENT_SIZE
from tasks.facts.base import Fact


class Stood(Fact):
    """Where the standby that takes over stood before its promotion.

    Attributes:
        standby_lsn: its position: received or replayed.
        standby_next_xid: no more transactions were unknown to it than ids from this one on.
        standby_last_commit: the last commit it had replayed.
        standby_timeline: the newest timeline of which it had WAL; 0 where only the assessment looked.
    """

    standby_lsn: str
    standby_next_xid: int
    standby_last_commit: datetime | None
    standby_timeline: int = 0


class Replay(Stood):
    """The archived WAL that the standby lacked; where it stood afterwards is that of `Stood`.

    Attributes:
        found: of each site, how far its archive reaches beyond the standby, or why that is not known.
        from_lsn: where the standby stood before.
        archived_lsn: where the unbroken WAL of all archives together ends; empty where they have no more than
            the standby.
        segment_bytes: the size of a segment.
        sources: the sites whose archives gave what the standby's own lacked.
        copied: segments that they gave.
        replayed: whole segments that the standby read.
        left: whole segments that are known to exist and that it did not read, those beyond a gap included.
        gap: the first segment that no archive has although one has a later segment; empty where none is.
        beyond: segments beyond the gap: nothing can be done with them.
        seconds: how long it took.
        why: why nothing was to be done, or why something is left.
    """

    found: dict[str, str] = Field(default_factory=dict)
    from_lsn: str
    archived_lsn: str = ""
    segment_bytes: int = SEGMENT_SIZE
    sources: tuple[str, ...] = ()
    copied: int = 0
    replayed: int = 0
    left: int = 0
    gap: str = ""
    beyond: int = 0
    seconds: float = 0.0
    why: str
