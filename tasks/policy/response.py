"""Decisions between an alarm and a recovery: which way to recover, and who has said so. Pure."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from tasks.facts.recovery import Observation
from tasks.facts.report import Report
from tasks.facts.response import Alarm, Decision, Strategy, Vote
from tasks.plan.availability import SlaTier


def hot_loss(seen: Observation, standby_xid: int, standby_commit: datetime | None) -> tuple[int, float]:
    """The most that a promotion of the standby would lose: transactions, and seconds of commits.

    Args:
        seen: the primary as last seen.
        standby_xid: no more transactions are unknown to the standby than ids from this one on.
        standby_commit: the last commit that it has.
    """
    lost = max(0, seen.next_xid - standby_xid)
    if not lost or standby_commit is None:
        return lost, 0.0
    return lost, round(max(0.0, (seen.at - standby_commit).total_seconds()), 1)


def usual_seconds(reports: Sequence[Report]) -> float | None:
    """How long failovers took, from the first act to the proof; the median, None where there was none."""
    took = [report.rto_seconds.execute + report.rto_seconds.verify for report in reports]
    return round(median(took), 1) if took else None


def recommend(strategies: Sequence[Strategy], tier: SlaTier) -> tuple[Strategy | None, str]:
    """The way to recover, and why.

    A hot standby that meets the tier's RPO is taken. Where it does not, what loses least is; unknown loses
    more than anything known.
    """
    able = [strategy for strategy in strategies if not strategy.against]
    if not able:
        return None, "no way to recover is open; see what stands against each"
    rpo = tier.rpo.total_seconds()
    hot = next((strategy for strategy in able if strategy.kind == "hot standby"), None)
    if hot and hot.lost_seconds is not None and hot.lost_seconds <= rpo:
        return hot, f"the standby loses {hot.lost_seconds:.1f} s at most, the tier allows {rpo:.0f} s"
    best = min(able, key=lambda s: float("inf") if s.lost_seconds is None else s.lost_seconds)
    lost = "an unknown amount" if best.lost_seconds is None else f"{best.lost_seconds:.1f} s"
    return best, f"it loses least: {lost}; the tier allows {rpo:.0f} s"


def tally(votes: Sequence[Vote], needed: int, now: datetime) -> Decision | None:
    """What the commanders decided; None while more of them must say so.

    One refusal ends it. The same commander counts once.
    """
    refused = next((vote for vote in votes if vote.decision == "refuse"), None)
    if refused:
        why = f"{refused.commander} refused: {refused.comment or 'no reason given'}"
        return Decision(outcome="refused", why=why, votes=tuple(votes), at=now)
    names = sorted({vote.commander for vote in votes})
    if len(names) < needed:
        return None
    return Decision(outcome="declared", why=f"declared by {', '.join(names)}", votes=tuple(votes), at=now)


def without_people(alarm: Alarm, *, automatic: bool, now: datetime) -> Decision | None:
    """Whether the plan declares by itself; None where people must.

    Only the watch is believed without people: it raises an alarm after every vantage agreed for the whole of
    the plan's confirmation time.
    """
    if not automatic or alarm.source != "automated_monitoring":
        return None
    why = "the plan fails over automatically, and every vantage agrees"
    return Decision(outcome="automatic", why=why, votes=(), at=now)
