"""What an expiry decided and did, as frozen facts."""

from dataclasses import dataclass
from datetime import datetime

from tasks.facts.backups import Point


@dataclass(frozen=True)
class Decision:
    """What becomes of one asset at one site.

    Attributes:
        asset: the asset.
        site: whose bucket.
        remove: the points to be removed, dependents first.
        stay: the names of those that stay.
        spared: points past their retention that stay all the same, each with the reason.
        left_alone: why nothing of it is removed, whatever is due; empty if nothing speaks against it.
        wal_backups: of how many of the newest backups all WAL stays; None for what has no WAL.
    """

    asset: str
    site: str
    remove: tuple[Point, ...] = ()
    stay: tuple[str, ...] = ()
    spared: tuple[tuple[str, str], ...] = ()
    left_alone: str = ""
    wal_backups: int | None = None

    @property
    def due(self) -> bool:
        """Whether anything is to be done; WAL ages without any point going."""
        return bool(self.remove) or (self.wal_backups is not None and not self.left_alone)


@dataclass(frozen=True)
class Outcome:
    """What became of one decision.

    Attributes:
        decision: what was decided.
        error: why it was not carried out; empty where it was, or where there was nothing to do.
    """

    decision: Decision
    error: str = ""

    @property
    def wrong(self) -> str:
        """Why the asset is not as its retention says; empty where it is."""
        why = self.error or self.decision.left_alone
        return f"{self.decision.asset} at {self.decision.site}: {why}" if why else ""


@dataclass(frozen=True)
class Evidence:
    """The record of one run.

    Attributes:
        run: the flow run's id and name.
        at: when it decided, by its own clock.
        now: the moment that it decided for.
        dry_run: whether nothing was touched.
        force: whether it might remove most of an asset's points.
        outcomes: every decision; while `ended` is None, what is about to be done.
        ended: when the last of it was done.
    """

    run: str
    at: datetime
    now: datetime
    dry_run: bool
    force: bool
    outcomes: tuple[Outcome, ...]
    ended: datetime | None = None
