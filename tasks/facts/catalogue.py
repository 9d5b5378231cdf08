"""What the sites hold of every asset, as frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from tasks.facts.archive import Finding
from tasks.facts.backups import Point, Verified

State = Literal["ok", "late", "damaged", "missing", "unknown"]


@dataclass(frozen=True)
class Holding:
    """What one site holds of one asset.

    Attributes:
        asset: the asset.
        site: whose bucket.
        points: what was listed; None where it could not be.
        why: why it could not be.
        verified: the newest verification on record.
        doubt: why it cannot be told what damage is on record; empty where it can.
    """

    asset: str
    site: str
    points: tuple[Point, ...] | None
    why: str = ""
    verified: Verified | None = None
    doubt: str = ""


@dataclass(frozen=True)
class Expected:
    """What a site should hold of an asset, by the plan.

    Attributes:
        asset: the asset.
        site: whose bucket.
        intervals: the longest time between two points of a variant; under "" of any variant. Empty where
            only a change makes a point.
        travel: how much later than at its source a point may arrive here.
        verification: the longest time between two verifications.
    """

    asset: str
    site: str
    intervals: Mapping[str, timedelta] = field(default_factory=dict)
    travel: timedelta = timedelta(0)
    verification: timedelta | None = None


@dataclass(frozen=True)
class Row:
    """One asset at one site, judged.

    Attributes:
        asset: the asset.
        site: whose bucket.
        state: "ok", "late", "damaged", "missing" or "unknown"; only the first is healthy.
        finding: the same as what a run reports, with the facts and the next action.
        points: how many good points there are.
        newest: when the newest good one was taken.
        age: how old it is.
        allowed: how old it may be; None where only a change makes a point.
        restorable_from: the earliest moment that can be restored.
        restorable_to: the newest one.
        size: the bytes of all points.
        verified: when the copies here were last verified.
        damages: how much that verification found.
    """

    asset: str
    site: str
    state: State
    finding: Finding
    points: int = 0
    newest: datetime | None = None
    age: timedelta | None = None
    allowed: timedelta | None = None
    restorable_from: datetime | None = None
    restorable_to: datetime | None = None
    size: int = 0
    verified: datetime | None = None
    damages: int = 0


@dataclass(frozen=True)
class Catalogue:
    """Every recoverable point, judged, and what is not covered.

    Attributes:
        at: when it was collected.
        rows: one for each asset at each site.
        coverage: a finding for each asset that exists.
        frozen: why expiry is frozen; empty where it is not.
        holdings: what the rows were judged from.
    """

    at: datetime
    rows: tuple[Row, ...]
    coverage: tuple[Finding, ...]
    frozen: str = ""
    holdings: tuple[Holding, ...] = field(default=(), repr=False)

    def findings(self) -> tuple[Finding, ...]:
        """Everything that was looked at."""
        return (*(row.finding for row in self.rows), *self.coverage)
