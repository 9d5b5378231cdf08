"""Whether the service could be recovered now: what was seen, and what follows from it, as frozen facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tasks.clients.host_room import Room
from tasks.clients.serverfacts import ServerFacts
from tasks.errors import DrError
from tasks.facts.archive import Finding
from tasks.facts.base import Fact
from tasks.facts.catalogue import Catalogue
from tasks.facts.drill import DrillReport

Standing = Literal["READY", "AT RISK", "NOT READY"]


@dataclass(frozen=True)
class Sights:
    """Everything that readiness is judged from; an error where it could not be told.

    Attributes:
        at: when it was looked at.
        active: the active site.
        incident: the open one; empty where none is.
        lags: seconds that each other site's database is behind.
        ages: seconds of commits that a recovery from each site's archive would lose.
        catalogue: the backups, and what is not covered.
        rooms: what each site's database hosts have.
        programs: what they run.
        members: etcd's members that see a leader.
        certificates: until when each site's store shows one that is trusted.
        keys: what came of using each credential.
        drift: what the servers run that is not what the plan says.
        routes: what came of reaching each notification channel, without telling anyone.
        public: what came of reaching each public channel, and of reading each list of subscribers.
        control: what came of asking each site's control plane.
        vantages: when each vantage last told what it saw.
        drills: the reports of all drills, oldest first.
    """

    at: datetime
    active: str
    incident: str
    lags: Mapping[str, float] | DrError
    ages: Mapping[str, float] | DrError
    catalogue: Catalogue | DrError
    rooms: Mapping[tuple[str, str], Room | DrError]
    programs: Mapping[tuple[str, str], ServerFacts | DrError]
    members: Sequence[str] | DrError
    certificates: Mapping[str, datetime | DrError]
    keys: Mapping[str, DrError | None]
    drift: Sequence[Finding] | DrError
    routes: Mapping[str, DrError | None]
    public: Mapping[str, DrError | None]
    control: Mapping[str, DrError | None]
    vantages: Mapping[str, datetime | None] | DrError
    drills: Sequence[DrillReport] | DrError


class Check(Fact):
    """One question, and what was found.

    Attributes:
        name: the question.
        findings: the answers.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def standing(self) -> Standing:
        """NOT READY where something is wrong or unknown, AT RISK where something will be."""
        if not self.findings or any(each.red for each in self.findings):
            return "NOT READY"
        return "AT RISK" if any(each.severity == "warning" for each in self.findings) else "READY"


class Readiness(Fact):
    """Whether the service could be recovered now.

    Attributes:
        service: which.
        at: when.
        checks: every question.
    """

    service: str
    at: datetime
    checks: tuple[Check, ...]

    @property
    def standing(self) -> Standing:
        """The worst of its checks."""
        found = {check.standing for check in self.checks}
        if "NOT READY" in found or not found:
            return "NOT READY"
        return "AT RISK" if "AT RISK" in found else "READY"

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """What speaks against it, the worst first."""
        found = [each for check in self.checks for each in check.findings if each.severity != "ok"]
        return tuple(sorted(found, key=lambda each: not each.red))
