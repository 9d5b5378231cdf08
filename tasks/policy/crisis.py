"""What is to be said outside about a disaster, to whom, in which order. Pure.

Source: the seed's "Crisis Communication".

A disaster is told when it is declared, every `update_every` while it lasts, and when it is over; what people
say meanwhile is told at once, and the next update is promised from then. An audience hears in that order,
each channel by itself, and what waits for its approval holds back what comes after it. Updates that were not
told in time give way to the newest. Whose beginning was refused hears of no end.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tasks.facts.crisis import Crisis, Discharge, Notice, Telling
from tasks.plan.crisis import Audience, CrisisCommunication, PublicChannel

UPDATE, REVIEW = "update", "review"
# A channel that has not taken a notice for so long is not asked any more.
_GIVEN_UP = timedelta(hours=24)
# Whoever put "sending" on record has ended after so long, or has put it there anew.
_SENDING = timedelta(seconds=60)
# A channel that failed is asked again after as long as it has failed already, within these.
_SOONEST, _LATEST = timedelta(seconds=5), timedelta(minutes=5)


def notices(plan: CrisisCommunication, crisis: Crisis, now: datetime) -> tuple[Notice, ...]:
    """Everything that is to be said up to now, oldest first.

    Args:
        plan: how often there is news.
        crisis: what is on record.
        now: the moment.
    """
    told = [_first(plan, crisis), *_updates(plan, crisis, now)]
    if crisis.ended and crisis.ended.at <= now:
        told.append(Notice(key="restored", phase="restored", at=crisis.ended.at))
        found = crisis.discharged(REVIEW)
        if found and found.word == "done":
            told.append(Notice(key=REVIEW, phase="restored", at=found.at, words=found.words))
    return tuple(told)


def due(
    plan: CrisisCommunication, crisis: Crisis, now: datetime
) -> Iterator[tuple[Notice, str, PublicChannel]]:
    """What is to be told now, in order: the notice, the audience, the channel.

    A telling comes only after those before it, in its audience and channel, are settled.
    """
    all_notices = notices(plan, crisis, now)
    for name, audience in plan.audiences.items():
        for channel in _wanted(crisis, name, audience, all_notices):
            found = _next(crisis, name, audience, channel, all_notices, now)
            if found:
                yield found, name, channel


def overtaken(
    plan: CrisisCommunication, crisis: Crisis, now: datetime
) -> Iterator[tuple[Notice, str, PublicChannel]]:
    """Updates that were not told, and after which there is something newer already."""
    all_notices = notices(plan, crisis, now)
    newest = list(_newest_updates(all_notices))
    for old in (notice for notice in all_notices if notice not in newest):
        for name, audience in plan.audiences.items():
            for channel in _wanted(crisis, name, audience, all_notices):
                told = crisis.telling(old.key, name, channel)
                if told is None or not told.settled:
                    yield old, name, channel


def waiting(plan: CrisisCommunication, crisis: Crisis, now: datetime) -> Iterator[tuple[str, Notice]]:
    """The words that wait for an approval: the audience and the notice."""
    said = list(_newest_updates(notices(plan, crisis, now)))
    for name, audience in plan.audiences.items():
        if refused(crisis, name):
            continue
        for notice in said:
            if _needs_approval(audience, notice) and not crisis.discharged(approval_of(name, notice)):
                yield name, notice
                break


def refused(crisis: Crisis, audience: str) -> bool:
    """Whether somebody has refused that an audience hears of the beginning, and so of the rest."""
    said = crisis.discharged(f"approve/{audience}/disrupted")
    return said is not None and said.word == "refused"


def approval_of(audience: str, notice: Notice) -> str:
    """The duty that approves a notice for an audience."""
    return f"approve/{audience}/{notice.key}"


def _first(plan: CrisisCommunication, crisis: Crisis) -> Notice:
    at = crisis.incident.triggered_at
    return Notice(key="disrupted", phase="disrupted", at=at, promised=at + plan.update_every)


def _updates(plan: CrisisCommunication, crisis: Crisis, now: datetime) -> Iterator[Notice]:
    end = min(now, crisis.ended.at) if crisis.ended else now
    said = [each for each in crisis.discharges if each.duty == UPDATE and each.word == "done"]
    last, promised = crisis.incident.triggered_at, crisis.incident.triggered_at + plan.update_every
    while True:
        words = next((each for each in said if last < each.at <= promised), None)
        last = words.at if words else promised
        if last > end or (crisis.ended and last >= crisis.ended.at):
            return
        promised = last + plan.update_every
        yield _update(last, promised, words)


def _update(at: datetime, promised: datetime, said: Discharge | None) -> Notice:
    key = f"update-{at:%Y%m%dT%H%M%S.%f}"
    return Notice(key=key, phase="update", at=at, words=said.words if said else "", promised=promised)


def _wanted(
    crisis: Crisis, name: str, audience: Audience, said: Sequence[Notice]
) -> tuple[PublicChannel, ...]:
    """The audience's channels, and those that stand in once one of them has failed."""
    if refused(crisis, name):
        return ()
    failed = any(
        (told := crisis.telling(notice.key, name, channel)) and told.outcome == "failed"
        for notice in said
        for channel in audience.channels
    )
    used = any(told.audience == name and told.channel in audience.otherwise for told in crisis.tellings)
    return (*audience.channels, *(audience.otherwise if failed or used else ()))


def _next(  # noqa: PLR0913 -- who is told what, by what is on record
    crisis: Crisis,
    name: str,
    audience: Audience,
    channel: PublicChannel,
    said: Sequence[Notice],
    now: datetime,
) -> Notice | None:
    for notice in _newest_updates(said):
        told = crisis.telling(notice.key, name, channel)
        if told and (told.settled or told.at - notice.at > _GIVEN_UP):
            continue
        if _needs_approval(audience, notice):
            approved = crisis.discharged(approval_of(name, notice))
            if approved is None:
                return None
            if approved.word == "refused":
                continue
        return notice if _asked_again(told, notice, now) else None
    return None


def _newest_updates(said: Sequence[Notice]) -> Iterator[Notice]:
    """All but the updates after which there is something newer."""
    for notice, after in zip(said, (*said[1:], None), strict=True):
        if notice.phase != "update" or after is None:
            yield notice


def _needs_approval(audience: Audience, notice: Notice) -> bool:
    return notice.phase in audience.approve


def _asked_again(told: Telling | None, notice: Notice, now: datetime) -> bool:
    if told is None:
        return True
    if told.outcome == "sending":
        return now - told.at >= _SENDING
    return now - told.at >= min(_LATEST, max(_SOONEST, told.at - notice.at))
