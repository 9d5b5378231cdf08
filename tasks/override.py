"""Go on without proof that the old site takes no writes: only by a commander's own words, and on record.

Source: Prefect's manual, "Interactive workflows".
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from uuid import uuid4

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from pydantic import create_model

from tasks.clients import journal
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import Refused, Unproven
from tasks.facts.fence import Fence, FenceAttempt, FenceAttempts, FenceOverride
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.policy.fence import read_override, require_site, without_proof
from tasks.policy.fence_words import override_page
from tasks.retry import retried
from tasks.step import first_result, step

_TITLE = "go on without proof of the fence"
_POLL_S = 1
_WORD, _ATTEMPTS = "fence-override.json", "fence-attempts.json"


class Override(RunInput):
    """What a commander fills in; the names to choose from are the plan's."""

    commander: str
    statement: str


@retried("look for an earlier override", times=5, delay=0.5)
def went_unproven(plan: Plan, incident: Incident) -> Fence | None:
    """How an earlier run of the incident went on without proof: what is found now does not make it proven.

    Raises:
        Transient: no store answers.
    """
    first = first_result(plan, incident, _TITLE)
    return Fence.model_validate(first) if first else None


@retried("look for a commander's word", times=5, delay=0.5)
def given_override(plan: Plan, incident: Incident, statement: str) -> FenceOverride | None:
    """The word that this run was started with, or that is on record; None where there is none.

    Raises:
        Refused: the statement names no commander, several of them, or not the site.
        Transient: no store answers.
    """
    if statement:
        commander = read_override(statement, plan.declaration.commanders, incident.failed_site)
        return _recorded(plan, incident, commander, statement)
    known = journal.read(plan, incident.id, _WORD, incident.failed_site)
    return FenceOverride.model_validate_json(known) if known else None


def ask_override(plan: Plan, incident: Incident, unproven: Unproven) -> FenceOverride:
    """Pause this flow until a commander answers for it in the form of the UI or by REST.

    Raises:
        Unproven: nobody did within the plan's deadline, or no server is there to take a form.
        Transient: no store takes the record.
    """
    ends, wrong = datetime.now(UTC) + plan.declaration.deadline, ""
    while (left := ends - datetime.now(UTC)) > timedelta(0):
        page = override_page(incident.failed_site, incident.to_site, _attempts(plan, incident), wrong)
        try:
            told = pause_flow_run(
                wait_for_input=_form(plan, page), timeout=max(1, int(left.total_seconds())),
                poll_interval=_POLL_S, key=uuid4().hex,
            )  # fmt: skip
        except (FlowPauseTimeout, RuntimeError) as error:
            raise unproven from error
        try:
            require_site(told.statement, incident.failed_site)
        except Refused as refused:
            wrong = refused.message
        else:
            return _recorded(plan, incident, told.commander, told.statement)
    raise unproven


@step(_TITLE)
def go_unproven(plan: Plan, incident: Incident, word: FenceOverride) -> Fence:
    """Put a commander's word where the proof would be.

    Raises:
        Transient: etcd has no quorum, or no store answers.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    return without_proof(_attempts(plan, incident), word)


def _form(plan: Plan, description: str) -> type[Override]:
    names: Any = Literal[tuple(plan.declaration.commanders)]
    form = create_model("Override", __base__=Override, commander=(names, ...))
    return cast(type[Override], form.with_initial_data(description=description))


def _recorded(plan: Plan, incident: Incident, commander: str, statement: str) -> FenceOverride:
    word = FenceOverride(commander=commander, statement=statement, at=datetime.now(UTC))
    journal.write(plan, incident.failed_site, incident.id, _WORD, word.model_dump_json())
    return word


def _attempts(plan: Plan, incident: Incident) -> tuple[FenceAttempt, ...]:
    text = journal.read(plan, incident.id, _ATTEMPTS, incident.failed_site)
    return FenceAttempts.model_validate_json(text).attempts if text else ()
