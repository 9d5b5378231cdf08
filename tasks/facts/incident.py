"""An incident and the steps that it took, as frozen facts."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import Field

from tasks.facts.base import Fact

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
