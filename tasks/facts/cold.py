"""What a recovery from backups sees and does, as frozen facts."""

from datetime import datetime

from pydantic import Field

from tasks.facts.base import Fact
from tasks.facts.recovery import Assessment


class Copy(Fact):
    """One site's copy of the database's backups.

    Attributes:
        site: whose.
        newest_wal: the newest segment in it, by its 24 digits; empty where it holds none.
        stored_at: when that segment was stored there; None where there is none.
        oldest: the end of its oldest whole backup, the first moment that can be recovered to; None where it
            has none.
        newest: the end of its newest whole backup.
        wrong: why it cannot be used; empty where it can.
    """

    site: str
    newest_wal: str = ""
    stored_at: datetime | None = None
    oldest: datetime | None = None
    newest: datetime | None = None
    wrong: str = ""


class ColdAssessment(Assessment):
    """What was seen before anything was touched.

    Attributes:
        copies: every site's copy, in the order in which they are preferred.
        source: the site whose copy is restored.
        target: the moment to recover to; the newest that the copy gives where None.
        expected_loss_s: seconds from the newest WAL in the copy to the last sight of the old primary.
    """

    copies: tuple[Copy, ...]
    source: str
    target: datetime | None
    expected_loss_s: float | None

    @property
    def copy_used(self) -> Copy:
        """The copy that is restored."""
        return next(copy for copy in self.copies if copy.site == self.source)


class Aim(Fact):
    """The moment that the database is restored for; the newest where None."""

    target: datetime | None


class Infrastructure(Fact):
    """A site's hosts, once they answer.

    Attributes:
        how: what activated them; empty where they were there.
        host: the database host that is restored to; it leads afterwards.
        outputs: what the provisioner told.
    """

    how: str
    host: str
    outputs: dict[str, str] = Field(default_factory=dict)


class RestoredFiles(Fact):
    """A backup's files, beside.

    Attributes:
        directory: where.
        seconds: what pgBackRest took; 0 where an earlier run had done it.
    """

    directory: str
    seconds: float


class Recovered(Fact):
    """A restored database as it was when its recovery ended, before anything was written to it.

    Attributes:
        system: its system identifier.
        timeline: the timeline that it was recovered along.
        lsn: where it left that one.
        reached: when the last transaction that it recovered was committed; None where it replayed none.
        next_xid: no more transactions are unknown to it than ids from this one on.
        wal: the segment that it writes now.
        bytes: the size of its databases.
        tables: how many user tables they have.
        seconds: what starting and recovering it took.
    """

    system: str
    timeline: int
    lsn: str
    reached: datetime | None
    next_xid: int
    wal: str
    bytes: int
    tables: int
    seconds: float = 0


class Swapped(Fact):
    """The restored directory in its place, and what was there before.

    Attributes:
        host: where.
        kept: each directory that was set aside, as HOST:PATH.
    """

    host: str
    kept: tuple[str, ...]


class Replicas(Fact):
    """The other nodes, as they follow."""

    nodes: tuple[str, ...]
    states: dict[str, str]


class Checked(Fact):
    """A look at every table and index of the recovered database.

    Attributes:
        node: of which node.
        method: by what.
        seconds: how long it took.
    """

    node: str
    method: str
    seconds: float


class GoneFiles(Fact):
    """A protected directory that a host has not.

    Attributes:
        asset: such as "files/uploads".
        host: the host.
        beside: where it is restored first, below the host's root.
        restored: whether an earlier run has restored it there.
    """

    asset: str
    host: str
    beside: str
    restored: bool


class Returned(Fact):
    """What else the site had lost, and got back.

    Attributes:
        restored: what, from where, in words.
        kept: what the site had of its own.
    """

    restored: tuple[str, ...]
    kept: tuple[str, ...]
