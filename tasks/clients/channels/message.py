"""What is told, whatever the channel."""

from dataclasses import dataclass
from typing import Literal

from tasks.plan.communication import Severity

Stage = Literal["opened", "declared", "recovered", "failed"]
DutyStage = Literal["reminder", "overdue", "settled"]


@dataclass(frozen=True)
class Message:
    """One stage of an incident, or of a duty that somebody has in it, in words.

    Attributes:
        stage: what happened.
        severity: how soon somebody must look.
        incident: the incident's id.
        subject: one line.
        text: the whole of it, plain.
        dedup_key: messages with the same key are about the same thing.
    """

    stage: Stage | DutyStage
    severity: Severity
    incident: str
    subject: str
    text: str
    dedup_key: str
