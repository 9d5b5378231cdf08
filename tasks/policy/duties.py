"""What people owe while a disaster lasts and after it, and when they are told of it. Pure.

Source: the seed's "Crisis Communication" and "Disaster Declaration Process".
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tasks.facts.crisis import Alerted, Crisis, Discharge, Duty, Notice
from tasks.plan.plan import Plan
from tasks.policy.crisis import REVIEW, UPDATE, approval_of, notices, refused, waiting

# What is sent at its moment has arrived by then.
_SENT_WITHIN = timedelta(minutes=1)
_SAY = f"say what is so, as the words of `{UPDATE}`; else the plan's own words are said"


def duties(plan: Plan, crisis: Crisis, now: datetime) -> tuple[Duty, ...]:
    """Everything that is owed, or was, by when it is due."""
    found = [*_approvals(plan, crisis, now), *_update(plan, crisis, now)]
    if crisis.ended is None or crisis.ended.moved:
        found += [*_calls(plan, crisis), *_filings(plan, crisis), *_review(plan, crisis)]
    return tuple(sorted(found, key=lambda duty: (duty.due, duty.key)))


def to_tell(plan: Plan, crisis: Crisis, now: datetime) -> Iterator[tuple[Duty, Alerted]]:
    """Of which duties people are to be told now: reminded, alerted, or told that it is settled."""
    for duty in duties(plan, crisis, now):
        known = {each.stage for each in crisis.alerted if each.duty == duty.key}
        if duty.done:
            if "overdue" in known and "settled" not in known:
                yield duty, Alerted(duty=duty.key, stage="settled", at=now)
        elif now >= duty.due:
            if "overdue" not in known:
                yield duty, Alerted(duty=duty.key, stage="overdue", at=now)
        elif now >= _reminded_at(plan, duty) and "reminder" not in known:
            yield duty, Alerted(duty=duty.key, stage="reminder", at=now)


def open_duties(plan: Plan, crisis: Crisis, now: datetime) -> tuple[Duty, ...]:
    """What is owed still."""
    return tuple(duty for duty in duties(plan, crisis, now) if duty.done is None)


def _reminded_at(plan: Plan, duty: Duty) -> datetime:
    if duty.kind == "approve":
        return duty.since
    if duty.kind == "update":
        return duty.due - plan.crisis.remind
    return duty.since + (duty.due - duty.since) / 2


def _approvals(plan: Plan, crisis: Crisis, now: datetime) -> Iterator[Duty]:
    said = {notice.key: notice for notice in notices(plan.crisis, crisis, now)}
    asked = {approval_of(audience, notice): notice for audience, notice in waiting(plan.crisis, crisis, now)}
    given = {each.duty for each in crisis.discharges if each.duty.startswith("approve/")}
    for key in sorted(given):
        notice = said.get(key.rpartition("/")[2])
        if notice:
            asked[key] = notice
    for key, notice in asked.items():
        audience = key.split("/")[1]
        yield Duty(
            key=key,
            kind="approve",
            who=plan.declaration.commanders,
            what=f"approve what is said to {audience}",
            since=notice.at,
            due=notice.at + plan.crisis.approve_within,
            done=crisis.discharged(key),
        )


def _update(plan: Plan, crisis: Crisis, now: datetime) -> Iterator[Duty]:
    """Every update that was promised; it is kept once what is said reached somebody of each audience."""
    said = notices(plan.crisis, crisis, now)
    for before, after in zip(said, (*said[1:], None), strict=True):
        if before.promised is None:
            continue
        yield Duty(
            key=f"{UPDATE}/{before.promised:%Y%m%dT%H%M%S}",
            kind="update",
            who=plan.declaration.commanders,
            what=_SAY,
            since=before.at,
            due=before.promised + _SENT_WITHIN,
            done=_kept(plan, crisis, said, after),
        )


def _kept(plan: Plan, crisis: Crisis, said: Sequence[Notice], after: Notice | None) -> Discharge | None:
    """That a promise was kept: what came next, or something newer, reached each audience that may hear it."""
    if after is None:
        return None
    newer = said[said.index(after) :]
    audiences = [name for name in plan.crisis.audiences if not refused(crisis, name)]
    reached = {
        told.audience
        for told in crisis.tellings
        if told.settled and told.outcome != "overtaken" and told.notice in {notice.key for notice in newer}
    }
    if not reached.issuperset(audiences):
        return None
    return Discharge(duty=UPDATE, by="the plan's words", at=after.at)


def _calls(plan: Plan, crisis: Crisis) -> Iterator[Duty]:
    for name, call in plan.crisis.calls.items():
        key, since = f"call/{name}", crisis.incident.triggered_at
        what = f"call {call.customer}, {call.phone}"
        yield _duty(crisis, key, (call.by,), what, since, call.within)


def _filings(plan: Plan, crisis: Crisis) -> Iterator[Duty]:
    for name, filing in plan.crisis.filings.items():
        key, since = f"file/{name}", crisis.incident.detected_at
        what = f"file the report to {filing.authority}, with its number as the reference"
        yield _duty(crisis, key, (filing.owner,), what, since, filing.within)


def _review(plan: Plan, crisis: Crisis) -> Iterator[Duty]:
    if crisis.ended:
        owed = plan.crisis.review
        what = "hold the post-incident review; its findings, as words, are told to whoever was told"
        yield _duty(crisis, REVIEW, (owed.owner,), what, crisis.ended.at, owed.within)


def _duty(  # noqa: PLR0913 -- who owes what, since when
    crisis: Crisis, key: str, owners: tuple[str, ...], what: str, since: datetime, within: timedelta
) -> Duty:
    kind = key.partition("/")[0]
    return Duty.model_validate(
        {
            "key": key,
            "kind": kind,
            "who": owners,
            "what": what,
            "since": since,
            "due": since + within,
            "done": crisis.discharged(key),
        }
    )
