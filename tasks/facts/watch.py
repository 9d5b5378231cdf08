"""What a vantage sees of the active site, and what the vantages tell each other, as frozen facts.

Seconds (`*_s`, `at_s`) are on one vantage's own monotonic clock: a clock that is set cannot make a loss last
longer than it did. Times of day are for people, and tell one standing of a vantage from the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["good", "bad", "silent"]
"""What a question brought: a right answer, a wrong one, none."""

Level = Literal["healthy", "degraded", "zone_failure", "served", "lost", "blind"]
"""One look at a site, mildest first.

`served`: none of it answers this vantage, but the public endpoint is served by it; `lost`: nothing of it
answers; `blind`: nothing of any other site answers either.
"""

Verdict = Literal["healthy", "degraded", "zone_failure", "partition", "unknown", "site_failure"]
Lease = Literal["renewed", "ended", "unknown"]
"""Whether the site still renews its leader key in etcd."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the plan asks of a vantage; all in seconds, but `retries` and `automatic`.

    Attributes:
        interval: from one look to the next.
        pace: the same, once a look was not as those before it.
        timeout: for each question of a look.
        retries: how many looks in a row make a verdict.
        absorb: how long the site itself has to make good for a zone.
        confirm: how long a loss must be agreed on before it is declared by itself.
        renewal: a leader key that was not renewed for longer has a holder that is dead or cut off.
        automatic: whether anything is declared by itself.
    """

    interval: float
    pace: float
    timeout: float
    retries: int
    absorb: float
    confirm: float
    renewal: float
    automatic: bool

    @property
    def patience(self) -> float:
        """A vantage whose record was not renewed for longer is dead, or cut off from etcd."""
        return 3 * self.interval


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to a site, and what came of it: `why` where it was not good."""

    what: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True)
class HostSeen:
    """Whether any program of a host answers."""

    site: str
    host: str
    zone: str
    answers: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Everything a vantage asked at once.

    Attributes:
        vantage: the site it looks from.
        site: the site it looks at.
        at_s: when it began, on the vantage's clock.
        at: the same, for people.
        hosts: the hosts of all sites, the vantage's own aside.
        checks: what the site is for.
    """

    vantage: str
    site: str
    at_s: float
    at: datetime
    hosts: tuple[HostSeen, ...]
    checks: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """A look, judged by itself."""

    at_s: float
    level: Level


@dataclass(frozen=True, slots=True)
class Sights:
    """The last looks at one site, oldest first, and the newest in full."""

    site: str = ""
    recent: tuple[Sight, ...] = ()
    newest: Look | None = None


class Finding(BaseModel):
    """Something that a person should know; the same name is the same matter."""

    model_config = ConfigDict(frozen=True)

    name: str
    detail: str


class Record(BaseModel):
    """What a vantage tells the others.

    Attributes:
        vantage: the site it looks from.
        site: the site it looks at.
        at: when it last looked.
        level: its last look, judged by itself.
        verdict: its verdict.
        since: since when that is its verdict.
        evidence: what did not answer, or wrongly, and why; the leader key's state.
        findings: what a person should know.
    """

    model_config = ConfigDict(frozen=True)

    vantage: str
    site: str
    at: datetime
    level: Level
    verdict: Verdict
    since: datetime
    evidence: Mapping[str, str]
    findings: tuple[Finding, ...] = ()

    @property
    def eyes(self) -> bool:
        """Whether it saw anything at all when it last looked."""
        return self.level != "blind"

    @property
    def sees(self) -> bool:
        """Whether it saw the site when it last looked."""
        return self.level not in {"lost", "blind"}


class Suspicion(BaseModel):
    """A loss that the vantages agree on, kept in etcd until the site is seen again or another is active."""

    model_config = ConfigDict(frozen=True)

    site: str
    epoch: int
    detected_at: datetime

    @property
    def key(self) -> str:
        """What makes all declarations of this loss one: the site, its epoch, and this occasion.

        A loss that passed must not take the place of the next one in the same epoch.
        """
        return f"respond-{self.site}-{self.epoch}-{self.detected_at:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another vantage, as its record in etcd shows it.

    Attributes:
        record: its newest record; None where it never wrote one.
        revision: etcd's revision of it.
        since_s: when that revision was first read, or a reading of records began again.
        renewed: whether it was seen to change; what lay there when we came may be of long ago.
    """

    record: Record | None
    revision: int
    since_s: float
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Peers:
    """All other vantages, by site, and when they were last read."""

    read_s: float = float("-inf")
    known: Mapping[str, Peer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What etcd tells; `active` is empty where it has no quorum.

    Attributes:
        active: the site that takes writes.
        epoch: its epoch.
        incident: the open incident; empty where there is none.
        lease: of the watched site.
        records: every vantage's record with its revision.
        suspicion: the loss that is agreed on.
        suspicion_revision: etcd's revision of it, to write over it or remove it.
    """

    active: str = ""
    epoch: int = 0
    incident: str = ""
    lease: Lease = "unknown"
    records: Mapping[str, tuple[Record, int]] = field(default_factory=dict)
    suspicion: Suspicion | None = None
    suspicion_revision: int = 0

    @property
    def quorum(self) -> bool:
        """Whether etcd answered."""
        return bool(self.active)


@dataclass(frozen=True, slots=True)
class Agreement:
    """That every vantage with eyes sees the same loss.

    Attributes:
        site: the lost site.
        basis: each of these vantages, and since when that is its verdict.
        since_s: from when on this was known here, without a break.
        at_s: when it was last found so.
    """

    site: str
    basis: frozenset[tuple[str, datetime]]
    since_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a vantage stands.

    Attributes:
        site: the site that it judges.
        verdict: its verdict.
        since: since when, for people.
        since_s: since when, on its own clock.
        absorbed_s: after how many seconds the service went on without a failed zone.
        agreement: the loss that is agreed on.
    """

    site: str = ""
    verdict: Verdict = "unknown"
    since: datetime | None = None
    since_s: float = 0.0
    absorbed_s: float | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on a vantage's own clock and for people."""

    s: float
    day: datetime
