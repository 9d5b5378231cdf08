"""The formal declaration: by the plan itself, or by its commanders in a form of the UI or by REST.

Source: the seed's "Disaster Declaration Process"; Prefect's manual, "Interactive workflows".
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import uuid4

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from pydantic import Field, create_model

from tasks.clients import journal
from tasks.clients.truth import read_truth
from tasks.errors import Permanent, Refused
from tasks.facts.response import Alarm, Decision, Impact, Vote
from tasks.impact import page
from tasks.plan.plan import Plan
from tasks.policy.response import tally, without_people
from tasks.policy.response_words import so_far
from tasks.retry import retried

_POLL_S = 1
F = TypeVar("F", bound=RunInput)


class Declaration(RunInput):
    """What a commander fills in; the names to choose from are the plan's."""

    commander: str = Field(description="You, by the plan's name for you.")
    decision: Literal["declare", "refuse"] = Field(
        description="declare: the service is moved at once, as recommended. refuse: nothing is moved."
    )
    comment: str = Field(default="", description="Why; it stands on record.")


def require_commander(plan: Plan, name: str) -> None:
    """See that a name is that of somebody who may declare a disaster.

    Raises:
        Refused: it is not.
    """
    if name not in plan.declaration.commanders:
        raise Refused(
            f"{name} may not declare a disaster", hint=f"one of: {', '.join(plan.declaration.commanders)}"
        )


def commanders_form(plan: Plan, model: type[F], description: str) -> type[F]:
    """A form that offers the plan's commanders and nobody else in its field `commander`.

    Args:
        plan: its commanders.
        model: the form's fields.
        description: what is shown above them.
    """
    names: Any = Literal[tuple(plan.declaration.commanders)]
    asked = Field(description=model.model_fields["commander"].description)
    form = create_model(model.__name__, __base__=model, commander=(names, asked))
    return form.with_initial_data(description=description)


@retried("decide without asking", times=5, delay=0.5)
def decide_without_asking(plan: Plan, alarm: Alarm, approved_by: Sequence[str]) -> Decision | None:
    """What is decided already: by an earlier run, by the plan, or by the commanders who raised the alarm.

    Raises:
        Refused: a name is no commander's.
        Transient: no store takes the record.
    """
    known = journal.read(plan, alarm.incident, "decision.json")
    if known:
        return Decision.model_validate_json(known)
    now = datetime.now(UTC)
    for name in approved_by:
        require_commander(plan, name)
        _write_vote(plan, alarm, Vote(commander=name, decision="declare", comment=alarm.reason, at=now))
    automatic = plan.high_availability.failover.automatic
    return without_people(alarm, automatic=automatic, now=now) or _tallied(plan, _votes(plan, alarm))


def ask_commanders(plan: Plan, alarm: Alarm, impact: Impact) -> Decision:
    """Pause this flow until the commanders have decided, or their time is over.

    Each pause takes one commander's word. A run that is started again asks only for what is still missing.

    Raises:
        Refused: a name is no commander's; the form of the UI offers only theirs.
        Transient: no store takes the record.
    """
    ends = alarm.raised_at + plan.declaration.deadline
    while (decision := _tallied(plan, votes := _votes(plan, alarm))) is None:
        left = ends - datetime.now(UTC)
        if left <= timedelta(0):
            return _expired(plan, alarm)
        try:
            told = pause_flow_run(
                wait_for_input=commanders_form(plan, Declaration, page(plan, impact) + so_far(votes)),
                timeout=max(1, int(left.total_seconds())),
                poll_interval=_POLL_S,
                key=uuid4().hex,
            )
        except FlowPauseTimeout:
            return _expired(plan, alarm)
        require_commander(plan, told.commander)
        now = datetime.now(UTC)
        _write_vote(
            plan, alarm, Vote(commander=told.commander, decision=told.decision, comment=told.comment, at=now)
        )
    return decision


@retried("record the decision", times=5, delay=0.5)
def record_decision(plan: Plan, alarm: Alarm, decision: Decision) -> Decision:
    """Write the decision down, unless another recovery has moved the service meanwhile.

    Raises:
        Permanent: the commanders did not decide in time.
        Transient: etcd has no quorum, or no store takes the record.
    """
    truth, _ = read_truth(plan)
    if truth.active != alarm.site and truth.incident != alarm.incident:
        why = f"{truth.incident} has moved the service to {truth.active}"
        decision = decision.model_copy(update={"outcome": "overtaken", "why": why})
    journal.write(plan, alarm.site, alarm.incident, "decision.json", decision.model_dump_json())
    if decision.outcome == "expired":
        raise Permanent(
            f"nobody decided about {alarm.incident} in time",
            f"{plan.declaration.deadline} since {alarm.raised_at}",
            "`dr declare` raises it again",
        )
    return decision


def _tallied(plan: Plan, votes: Sequence[Vote]) -> Decision | None:
    return tally(votes, plan.declaration.needed(plan.service.tier), datetime.now(UTC))


def _expired(plan: Plan, alarm: Alarm) -> Decision:
    why = "the commanders did not decide within the plan's deadline"
    return Decision(outcome="expired", why=why, votes=_votes(plan, alarm), at=datetime.now(UTC))


def _votes(plan: Plan, alarm: Alarm) -> tuple[Vote, ...]:
    texts = journal.read_all(plan, alarm.incident, "votes/")
    return tuple(Vote.model_validate_json(text) for text in texts)


def _write_vote(plan: Plan, alarm: Alarm, vote: Vote) -> None:
    name = f"votes/{vote.at:%Y%m%dT%H%M%S.%f}-{vote.commander}.json"
    journal.write(plan, alarm.site, alarm.incident, name, vote.model_dump_json())
