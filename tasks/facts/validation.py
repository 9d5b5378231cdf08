"""What a validation found, as frozen facts."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from tasks.facts.base import Fact
from tasks.facts.incident import Incident
from tasks.plan.validation import Suite

Outcome = Literal["passed", "failed", "unknown"]
Verdict = Literal["passed", "failed", "unknown"]


class Subject(Fact):
    """What is validated.

    Attributes:
        site: the site that must serve the users.
        failed_site: the site that it took over from; empty where none failed.
        incident: the incident's id; empty where a site is validated without one.
        fingerprints: the keyed fingerprints of secrets at the incident's declaration.
    """

    site: str
    failed_site: str = ""
    incident: str = ""
    fingerprints: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, incident: Incident) -> Self:
        """The site that an incident moved the service to."""
        return cls(
            site=incident.to_site,
            failed_site=incident.failed_site,
            incident=incident.id,
            fingerprints=incident.fingerprints,
        )


class CheckResult(Fact):
    """What one check came to.

    Attributes:
        suite: the suite it belongs to.
        name: what was checked.
        outcome: passed; failed: it was seen to be wrong; unknown: it could not be told.
        detail: what was seen.
        seconds: how long it took.
    """

    suite: Suite
    name: str
    outcome: Outcome
    detail: str
    seconds: float


class Validated(Fact):
    """The record of one validation."""

    subject: Subject
    at: datetime
    suites: tuple[Suite, ...]
    verdict: Verdict
    checks: tuple[CheckResult, ...]


class Pace(Fact):
    """How fast a bounded probe was answered.

    Attributes:
        path: what was read.
        concurrency: how many asked at once.
        requests: how many requests were made.
        errors: how many of them failed.
        seconds: how long all of them took.
        p50_ms: half of the answers came within this.
        p95_ms: 95 of 100 answers did.
    """

    path: str
    concurrency: int
    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p95_ms: float

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return (self.requests - self.errors) / self.seconds if self.seconds else 0.0


class Baseline(Fact):
    """The pace of the service while it was healthy, at which site, and when."""

    site: str
    at: datetime
    pace: Pace
