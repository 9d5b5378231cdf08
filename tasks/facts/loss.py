"""What a recovery loses, as frozen facts."""

from datetime import datetime
from typing import Literal

from tasks.facts.base import Fact


class Divergence(Fact):
    """What only the old primary had, read from its WAL after its return.

    Attributes:
        node: the node it was read from.
        commits: commit records behind the fork.
        with_rows: how many of those transactions left rows in user tables.
        unacknowledged: those of them that no client was ever told of, where a ledger can tell.
        first_commit: time of the first that left rows.
        last_commit: time of the last that did.
        saved: where the WAL and the rows were saved.
    """

    node: str
    commits: int
    with_rows: int
    unacknowledged: int
    first_commit: datetime | None
    last_commit: datetime | None
    saved: tuple[str, ...]


class Loss(Fact):
    """The recovery point actually reached.

    Attributes:
        lost_transactions: acknowledged transactions that are gone; an upper bound while `basis` is bound,
            None while it is unknown.
        lost_seconds: from the first commit that is lost to the last; its bound goes from the last moment
            that is known to have survived to the fence.
        basis: "bound" while the old site is gone, "unknown" if it was never seen before, "exact" once its WAL
            was read or the clients' ledger was.
        unacknowledged: transactions in the old WAL that no client was ever told of; counted apart.
    """

    lost_transactions: int | None
    lost_seconds: float | None
    basis: Literal["bound", "unknown", "exact"]
    unacknowledged: int | None = None


class LedgerCount(Fact):
    """The clients' own count.

    Attributes:
        acknowledged: orders whose acknowledgement a client wrote down.
        missing: those of them that the active database does not have.
        before: those of the missing that an earlier incident had lost already.
        lost_seconds: from the first that is missing since to the last.
    """

    acknowledged: int
    missing: int
    before: int = 0
    lost_seconds: float = 0.0

    @property
    def lost(self) -> int:
        """How many are missing since this incident."""
        return self.missing - self.before
