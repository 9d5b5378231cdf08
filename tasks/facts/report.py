"""The evidence of an incident, as frozen facts."""

from datetime import datetime

from tasks.facts.base import Fact
from tasks.facts.communication import Delivery
from tasks.facts.fence import Fence
from tasks.facts.incident import Kind, StepRecord
from tasks.facts.loss import Divergence, LedgerCount, Loss
from tasks.facts.replay import Replay
from tasks.facts.restored import ColdRestore
from tasks.facts.services import Activation


class Phases(Fact):
    """The outage, in seconds: last good sight to detection, to the first act, to the last, to proof."""

    detect: float
    decide: float
    execute: float
    verify: float
    total: float


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
        written_at: which of its states this is; those of earlier versions do not tell.
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
    written_at: datetime | None = None
