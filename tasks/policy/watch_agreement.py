"""What the vantages make of each other's verdicts: when a loss is agreed on, and when it is declared. Pure.

Told is not declared. Losing every sight of a site for 43 seconds is the same from outside whether the site is
dead or every line to it is cut, so a loss that all vantages agree on is told at once, within the plan's
detection_timeout, and is declared by itself only after `confirm` more of it without a break. A person may
declare at once. GitHub, "October 21 post-incident analysis" (2018): 43 seconds without the East Coast moved
the primaries to the West Coast, and both sides had writes that the other lacked; the repair took a day.
"""

from collections.abc import Iterable

from tasks.facts.watch import (
    Agreement,
    Moment,
    Peer,
    Peers,
    Record,
    Rule,
    Standing,
    Suspicion,
    Told,
)


def heard(before: Peers, told: Told, others: Iterable[str], rule: Rule, now_s: float) -> Peers:
    """What is known of the other vantages, after etcd was read.

    Args:
        before: what was known.
        told: what etcd told; without quorum it told nothing, and nothing changes.
        others: the other vantages of the plan.
        rule: how long a vantage may be silent.
        now_s: seconds on our clock.
    """
    if not told.quorum:
        return before
    # Those who could not be read for a while may have been well: their silence begins anew.
    broken = now_s - before.read_s > 2 * rule.interval
    known = {}
    for vantage in others:
        record, revision = told.records.get(vantage, (None, 0))
        last = before.known.get(vantage)
        if last and last.revision == revision and not broken:
            known[vantage] = last
        else:
            known[vantage] = Peer(record, revision, now_s, last is not None and last.revision != revision)
    return Peers(now_s, known)


def is_dead(peer: Peer, rule: Rule, now_s: float) -> bool:
    """Whether a vantage stopped renewing its record."""
    return now_s - peer.since_s > rule.patience


def someone_sees(site: str, peers: Peers, rule: Rule, now_s: float) -> bool:
    """Whether another vantage saw the site when it last looked."""
    return any(
        peer.record is not None and peer.record.site == site and peer.record.sees
        for peer in peers.known.values()
        if not is_dead(peer, rule, now_s)
    )


def voices(peers: Peers, rule: Rule, now_s: float) -> list[Record]:
    """The other vantages that are alive and see anything at all."""
    return [
        peer.record
        for peer in peers.known.values()
        if peer.record and peer.renewed and peer.record.eyes and not is_dead(peer, rule, now_s)
    ]


def agree(mine: Record, peers: Peers, before: Agreement | None, rule: Rule, now_s: float) -> Agreement | None:
    """The loss that every vantage with eyes sees, two of them at least; else None.

    It begins anew when one of them changed its mind in between, or when nobody judged for an interval.
    """
    if mine.verdict != "site_failure":
        return None
    seeing = [mine, *voices(peers, rule, now_s)]
    if len(seeing) < 2 or any((it.verdict, it.site) != ("site_failure", mine.site) for it in seeing):
        return None
    basis = frozenset((each.vantage, each.since) for each in seeing)
    unbroken = before is not None and before.basis == basis and now_s - before.at_s <= rule.interval
    since_s = before.since_s if before is not None and unbroken else now_s
    return Agreement(mine.site, basis, since_s, now_s)


def suspect(standing: Standing, told: Told, now: Moment) -> Suspicion | None:
    """The suspicion to write down, where the agreed loss is not on record yet."""
    agreement = standing.agreement
    if agreement is None or told.active != agreement.site or told.incident or concerns(told):
        return None
    return Suspicion(site=agreement.site, epoch=told.epoch, detected_at=now.day)


def concerns(told: Told) -> bool:
    """Whether the suspicion on record is of the active site in its present epoch."""
    suspicion = told.suspicion
    return suspicion is not None and (suspicion.site, suspicion.epoch) == (told.active, told.epoch)


def is_over(mine: Record, told: Told) -> bool:
    """Whether the suspicion on record has ended: its site is seen again, or is not the active one now."""
    if told.suspicion is None:
        return False
    return not concerns(told) or (mine.site == told.active and mine.sees)


def is_due(standing: Standing, told: Told, rule: Rule, now_s: float) -> bool:
    """Whether the suspicion on record is to be declared by itself, now."""
    agreement = standing.agreement
    if agreement is None or not rule.automatic or told.incident:
        return False
    return concerns(told) and agreement.site == told.active and now_s - agreement.since_s >= rule.confirm
