"""What the last replication did, on record for whoever watches."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State
from pydantic import TypeAdapter, ValidationError

from tasks.clients import newest, records
from tasks.errors import DrError
from tasks.facts.copies import CopyReport
from tasks.plan.plan import Plan
from tasks.policy.replication import Pull

_FOLDER, _NAME = "status", "status/replication.json"


@dataclass(frozen=True)
class CopyStatus:
    """One repository's way from one site to another.

    Attributes:
        source: from where.
        target: to where.
        repository: its folder in the bucket.
        at: when it was last tried.
        succeeded_at: when all of it last arrived; None if it never did.
        objects: how many objects that pass copied.
        bytes: how many bytes.
        conflicts: what may never change and did, or was damaged at the source, in the last pass.
    """

    source: str
    target: str
    repository: str
    at: datetime
    succeeded_at: datetime | None = None
    objects: int = 0
    bytes: int = 0
    conflicts: int = 0


_JSON = TypeAdapter(tuple[CopyStatus, ...])


def keep_status(plan: Plan, done: Mapping[tuple[Pull, str], State[CopyReport]]) -> None:
    """Write down how every pull of a run ended, beside what is known of the others."""
    # How the run ended matters more than where that is kept.
    with suppress(DrError):
        known = {(each.source, each.target, each.repository): each for each in read_status(plan)}
        for (pull, root), state in done.items():
            where = pull.source, pull.target, root
            known[where] = _status(where, state.result(raise_on_failure=False), known.get(where))
        records.write(plan, _NAME, _JSON.dump_json(tuple(known.values()), indent=2))


def read_status(plan: Plan) -> tuple[CopyStatus, ...]:
    """The newest record of every pull, from whichever stores answer.

    Raises:
        Transient: no store answers.
    """
    versions = [_parsed(text) for text in newest.versions(plan, _FOLDER).get(_NAME, ())]
    return max(versions, key=lambda each: max((one.at for one in each), default=_NEVER), default=())


_NEVER = datetime.fromtimestamp(0, UTC)


def _status(where: tuple[str, str, str], result: Any, before: CopyStatus | None) -> CopyStatus:
    now, last = datetime.now(UTC), before.succeeded_at if before else None
    if not isinstance(result, CopyReport):
        return CopyStatus(*where, now, last)
    wrong = len(result.conflicts) + len(result.refused)
    return CopyStatus(*where, now, last if wrong else now, result.objects, result.bytes, wrong)


def _parsed(text: str) -> tuple[CopyStatus, ...]:
    try:
        return _JSON.validate_json(text)
    except ValidationError:
        return ()
