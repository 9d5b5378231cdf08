"""What a recovery sees and does, as frozen facts."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import Field

from tasks.facts.base import Fact
from tasks.facts.communication import Delivery
from tasks.facts.fence import Fence
from tasks.facts.replay import Replay, Stood
from tasks.facts.restored import ColdRestore
from tasks.facts.services import Activation

Kind = Literal["failover", "switchover", "cold"]


class Incident(Fact):
    """One declared disaster; its id names everything it produces.

    Attributes:
        id: the incident's id.
        service: the plan's service.
        failed_site: the site that was active.
        to_site: the site that takes over.
        epoch: the epoch it holds in etcd.
        reason: why, in the declarer's words.
        detected_at: when the disaster was detected.
        triggered_at: when the recovery was asked for.
        kind: a failover after a loss, a planned switchover, or a recovery from backups.
        resumed: whether an earlier run of it left steps behind.
        fingerprints: keyed fingerprints of the secrets that must be rotated after it; none where none must.
    """

    id: str
    service: str
    failed_site: str
    to_site: str
    epoch: int
    reason: str
    detected_at: datetime
    triggered_at: datetime
    kind: Kind = "failover"
    resumed: bool = False
    fingerprints: dict[str, str] = Field(default_factory=dict)


class StepRecord(Fact):
    """One attempt of one step.

    Attributes:
        name: the step.
        started: when this attempt began.
        ended: when it ended.
        attempts: its number, from 1.
        outcome: how it ended.
        detail: why it failed.
        result: the step's result, for a run that resumes and for the report.
    """

    name: str
    started: datetime
    ended: datetime | None = None
    attempts: int
    outcome: Literal["done", "failed"]
    detail: str = ""
    result: dict[str, Any] | None = None

    def ended_now(self) -> Self:
        """The same record, ended at this moment."""
        return self.model_copy(update={"ended": datetime.now(UTC)})


class Observation(Fact):
    """The active site's database as last seen from another region.

    Attributes:
        site: the observed site.
        at: the observer's clock when it was seen.
        lsn: the primary's write position.
        next_xid: no transaction id from this one on was given out.
        last_commit: when its last transaction was committed.
        peak_rate: most transaction ids a second that were given out lately.
    """

    site: str
    at: datetime
    lsn: str
    next_xid: int
    last_commit: datetime | None
    peak_rate: float


class Handover(Fact):
    """The old primary of a planned move, once it is a standby and the other site has all of its WAL.

    Attributes:
        node: the node that led, and now leads a standby cluster.
        told_at: when it was told to stop; writes were taken until then at least.
        final_lsn: the end of its WAL.
        received_lsn: the end of the other site's WAL, never before it.
    """

    node: str
    told_at: datetime
    final_lsn: str
    received_lsn: str


class MoveView(Fact):
    """Both sites before a planned move, as they answered.

    Attributes:
        leader: the node that took a write at the active site; None where none did.
        standby_leader: the node that leads the other site's standby cluster; None where none does.
        lag_bytes: WAL that the active site has written and the other has not received; None if unknown.
        streams: whether the other site receives WAL straight from the active one.
        absent: PostgreSQL nodes of both sites that are not running or not streaming.
        redis_linked: whether the other site's Redis follows the active site's master; None if unknown.
        gateway_answers: whether the other site's own gateway answers at all; it serves once its database
            does.
    """

    leader: str | None
    standby_leader: str | None
    lag_bytes: int | None
    streams: bool
    absent: tuple[str, ...]
    redis_linked: bool | None
    gateway_answers: bool


class Promotion(Fact):
    """The new primary.

    Attributes:
        node: the node that took the first write.
        address: its address.
        first_write_at: its clock at that write.
        timeline: the new timeline.
        old_timeline: the timeline it left.
        fork_lsn: where it left it.
        next_xid: before the promotion, no more transactions were unknown to it than ids from this one on.
        last_commit: the last commit it had replayed.
    """

    node: str
    address: str
    first_write_at: datetime
    timeline: int
    old_timeline: int
    fork_lsn: str
    next_xid: int
    last_commit: datetime | None


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
        lost_transactions: acknowledged transactions that are gone; an upper bound while `basis` is bound.
        lost_seconds: from the first commit that is lost to the last; its bound goes from the last moment
            that is known to have survived to the fence.
        basis: "bound" while the old site is gone, "exact" once its WAL was read or the clients' ledger was.
        unacknowledged: transactions in the old WAL that no client was ever told of; counted apart.
    """

    lost_transactions: int
    lost_seconds: float
    basis: Literal["bound", "exact"]
    unacknowledged: int | None = None


class Phases(Fact):
    """The outage, in seconds: last good sight to detection, to the first act, to the last, to proof."""

    detect: float
    decide: float
    execute: float
    verify: float
    total: float


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


class Targets(Fact):
    """What the tier promises, in seconds."""

    tier: str
    rto_seconds: float
    rpo_seconds: float


class Report(Fact):
    """The evidence of one incident.

    Attributes:
        fence: how the old primary was kept from writing; none of a planned move.
        second_primaries: nodes of the old site that took writes again when it came back.
        declared: who declared it, and what they said; empty where no alarm was raised before it.
        told: who was told of it, and what became of each message.
        replay: of a failover, the archived WAL that the standby lacked.
        write_pause_seconds: of a planned move, from when the old primary was told to stop to the first order
            that a user placed at the new site.
        services: every service, in the order in which it was recovered.
    """

    incident: str
    kind: Kind = "failover"
    verdict: str
    reason: str
    declared: str = ""
    failed_site: str
    to_site: str
    epoch: int
    detected_at: datetime
    recovered_at: datetime
    first_write_at: datetime
    targets: Targets
    rto_seconds: Phases
    write_pause_seconds: float | None = None
    rpo: Loss
    bound: Loss
    ledger: LedgerCount | None
    fence: Fence | None = None
    second_primaries: tuple[str, ...] = ()
    told: tuple[Delivery, ...] = ()
    divergence: Divergence | None = None
    restored: ColdRestore | None = None
    replay: Replay | None = None
    services: tuple[Activation, ...] = ()
    steps: tuple[StepRecord, ...]


class Assessment(Stood):
    """What was seen before anything was touched: the standby is the one that was furthest.

    Attributes:
        seen: the old primary as last seen from another region.
        old_primary_writable: whether it still took writes.
    """

    seen: Observation | None
    old_primary_writable: bool


class RedisPromotion(Fact):
    """The new Redis master."""

    master: str


class Traffic(Fact):
    """Who serves the users.

    Attributes:
        served_by: the site.
        states: each site's state at the public endpoint.
        weights: each site's part of the users, in percent.
        settle_s: for how many seconds longer some users may go where they went before.
    """

    served_by: str
    states: dict[str, str]
    weights: dict[str, int] = Field(default_factory=dict)
    settle_s: float = 0.0


class Validation(Fact):
    """What was tried after a recovery, and held.

    Attributes:
        site: the site that served.
        first_served: when it did.
        checks: what was tried.
    """

    site: str
    first_served: datetime
    checks: tuple[str, ...]


class Nearest(Fact):
    """What the returning site's own repository was given.

    Attributes:
        objects: how many objects it lacked.
        bytes: their size.
        why_not: why it could not be made to lead to the new primary; empty where it does.
    """

    objects: int = 0
    bytes: int = 0
    why_not: str = ""


class Return(Fact):
    """A site that came back as a standby.

    Attributes:
        site: the site.
        standby_leader: the node that streams from the active site.
        streaming_at: when it was seen to.
        redis_master: the master its Redis follows.
        ways: how each node came to follow, by its name; see `tasks.clients.rebuild`.
    """

    site: str
    standby_leader: str
    streaming_at: datetime
    redis_master: str
    ways: dict[str, str] = Field(default_factory=dict)
