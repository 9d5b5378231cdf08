"""Decisions of a recovery: pure functions over what was seen."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from math import ceil

from tasks.clients.walnames import parse_lsn
from tasks.errors import Permanent, Refused
from tasks.facts.incident import StepRecord
from tasks.facts.loss import Divergence, LedgerCount, Loss
from tasks.facts.move import Handover
from tasks.facts.recovery import Observation, Promotion
from tasks.facts.report import Phases
from tasks.plan.availability import SlaTier
from tasks.plan.sites import Role
from tasks.policy.continuity import SWITCH, TELL
from tasks.policy.order import STAND_DOWN

# What was never seen is counted generously: a bound that turns out too low is a lie.
_UNSEEN_FACTOR = 2.0
# What goes on after the users are served: it is in the report, and not in the recovery time.
_AFTERWARDS = frozenset(("replicas follow", "archive WAL again", "check every table and index"))
# A peak fades slowly: the bound must hold for the busiest seconds of the last minutes.
_FADE_PER_S = 0.998


def choose_target(roles: Mapping[str, Role], active: str, wanted: str | None) -> str:
    """The site that takes over.

    Args:
        roles: each site's role in the plan.
        active: the site that is active now.
        wanted: the declarer's choice; the other site with a database where None.

    Raises:
        Refused: the choice cannot take over.
    """
    able = [site for site, role in roles.items() if role != "archive" and site != active]
    if wanted is None:
        return able[0]
    if wanted not in able:
        raise Refused(f"{wanted} cannot take over", f"{active} is active", f"allowed: {', '.join(able)}")
    return wanted


def peak_rate(before: Observation | None, at: datetime, next_xid: int) -> float:
    """The most transaction ids a second that a primary gave out lately.

    Args:
        before: the observation before this one; None for the first.
        at: when it was seen now.
        next_xid: the ids below this one are given out now.
    """
    if before is None:
        return 0.0
    elapsed = (at - before.at).total_seconds()
    if elapsed <= 0:
        return before.peak_rate
    now = max(0, next_xid - before.next_xid) / elapsed
    faded: float = before.peak_rate * _FADE_PER_S**elapsed
    return round(max(now, faded), 3)


def bound_loss(seen: Observation | None, promotion: Promotion, fenced_at: datetime) -> Loss:
    """The most that can be lost, while the old site is gone.

    What was seen counts by transaction ids; what the old primary may have done between the last sight of
    it and the fence counts at twice its highest rate.

    Args:
        seen: the old primary as last seen from another region; None if it never was.
        promotion: where the new primary begins.
        fenced_at: from when on the old primary took no write.
    """
    if seen is None:
        return Loss(lost_transactions=None, lost_seconds=None, basis="unknown")
    unseen_s = max(0.0, (fenced_at - seen.at).total_seconds())
    known = max(0, seen.next_xid - promotion.next_xid)
    survived = promotion.last_commit or seen.at
    if known == 0:  # all that was seen is there, however long ago the last commit was
        survived = max(survived, seen.at)
    return Loss(
        lost_transactions=known + ceil(seen.peak_rate * unseen_s * _UNSEEN_FACTOR),
        lost_seconds=round(max(0.0, (fenced_at - survived).total_seconds()), 3),
        basis="bound",
    )


def exact_loss(divergence: Divergence) -> Loss:
    """What is lost, once the old primary's WAL was read."""
    lost = divergence.with_rows - divergence.unacknowledged
    seconds = 0.0
    if lost and divergence.first_commit and divergence.last_commit:
        seconds = (divergence.last_commit - divergence.first_commit).total_seconds()
    return Loss(
        lost_transactions=lost,
        lost_seconds=round(seconds, 3),
        basis="exact",
        unacknowledged=divergence.unacknowledged,
    )


def loss_of_move(handover: Handover, promotion: Promotion) -> Loss:
    """The loss of a planned move: nothing, where the new timeline begins at or after the old one's end.

    Raises:
        Permanent: it begins before.
    """
    if parse_lsn(promotion.fork_lsn) < parse_lsn(handover.final_lsn):
        raise Permanent(
            "the new primary lacks WAL of the old one",
            f"it begins at {promotion.fork_lsn}, the old one ended at {handover.final_lsn}",
            "keep the old site as it is; `dr run bring-back` saves what only it has",
        )
    return Loss(lost_transactions=0, lost_seconds=0.0, basis="exact", unacknowledged=0)


def ledger_loss(count: LedgerCount) -> Loss:
    """What is lost by the clients' own count; what earlier incidents lost is theirs."""
    return Loss(lost_transactions=count.lost, lost_seconds=count.lost_seconds, basis="exact")


def phases(last_good: datetime, detected: datetime, steps: Sequence[StepRecord], verify_from: str) -> Phases:
    """Split the outage: detect, decide, execute, verify.

    Args:
        last_good: when the old site was last seen well; the outage began after it.
        detected: when the disaster was detected.
        steps: the merged records, in order.
        verify_from: the first step that only verifies.
    """
    begun = min(step.started for step in steps)
    verifying = next(step.started for step in steps if step.name == verify_from)
    ended = max(step.ended or step.started for step in steps)
    marks = [last_good, detected, begun, verifying, ended]
    # A clock that disagrees by a moment must not turn a phase negative.
    marks = [max(marks[: i + 1]) for i in range(len(marks))]
    spans = [round((b - a).total_seconds(), 3) for a, b in pairwise(marks)]
    return Phases(
        detect=spans[0], decide=spans[1], execute=spans[2], verify=spans[3], total=round(sum(spans), 3)
    )


def merge_attempts(records: Iterable[StepRecord]) -> list[StepRecord]:
    """One record a step: the first start, the first success's end, all attempts, the last outcome."""
    merged: dict[str, StepRecord] = {}
    for record in sorted(records, key=lambda r: r.started):
        earlier = merged.get(record.name)
        merged[record.name] = (
            _merge(earlier, record) if earlier else record.model_copy(update={"attempts": 1})
        )
    return sorted(merged.values(), key=lambda r: r.started)


def is_afterwards(step: str) -> bool:
    """Whether a step goes on beside or after the users' way back, and so is no part of the recovery time."""
    return step in _AFTERWARDS or step.startswith((STAND_DOWN, SWITCH, TELL))


def verdict(took: Phases, loss: Loss, tier: SlaTier) -> str:
    """Whether both objectives were met; else which was missed."""
    missed = []
    if took.total > tier.rto.total_seconds():
        missed.append("RTO")
    if loss.lost_seconds is None:
        return f"missed {missed[0]}, RPO unknown" if missed else "RPO unknown"
    if loss.lost_seconds > tier.rpo.total_seconds():
        missed.append("RPO")
    return f"missed {' and '.join(missed)}" if missed else "met"


def _merge(earlier: StepRecord, later: StepRecord) -> StepRecord:
    attempts = earlier.attempts + 1
    if earlier.outcome == "done":
        # A resumed run verified it again; when it was done does not change.
        return earlier.model_copy(update={"attempts": attempts})
    return later.model_copy(update={"started": earlier.started, "attempts": attempts})
