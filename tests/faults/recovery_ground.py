"""The ground of the recovery matrix: the service at home and whole before each case, looked at after."""

import time
from collections import Counter
from datetime import UTC, datetime

from campaign import Campaign
from recovery_cases import FLOW_OF, Case

from infra.edge.inbox import messages
from tasks.clients import ledger, patroni, postgres, service
from tasks.clients.public.mail import mail_id
from tasks.clients.public.subscribers import subscribers
from tasks.clients.truth import read_truth
from tasks.crisis_record import read_crisis
from tasks.declare import finished_incident
from tasks.errors import DrError
from tasks.evidence import read_report
from tasks.incidents import on_record
from tasks.policy.crisis import due

_PATIENCE_S = 90
_SOON_S = 10
_ATTEMPTS = 3
_ARCHIVED_S = 8
# The loop's look, a run, and the minute for which whoever was killed while telling is waited for.
_TOLD_S = 120


class Ground:
    """One lab through all cases."""

    def __init__(self, lab: Campaign) -> None:
        self.lab, self.plan = lab, lab.plan
        self.home, self.away = lab.plan.site_of("primary"), lab.plan.site_of("dr")
        self._copied = False

    def ready(self, case: Case) -> tuple[str, str]:
        """Bring the service to where a case begins, both sites whole; from where it moves, and to where."""
        begins = self.away if case.strategy == "failback" else self.home
        other = self.home if begins == self.away else self.away
        active = read_truth(self.plan)[0].active
        self._make_whole(self.home if active == self.away else self.away)
        if active != begins:
            self._moved(begins)
            self._make_whole(other)
        if case.strategy == "cold":
            self._copy()
        return begins, other

    def strike(self, case: Case, source: str, target: str) -> None:
        """Make the disaster that a strategy answers; none for a planned move."""
        if case.strategy == "cold":
            time.sleep(_ARCHIVED_S)  # some of the load is in the copies
            self.lab.dr("lab", "wipe", target)
        if case.strategy in {"hot", "cold"}:
            self.lab.dr("lab", "break", source)

    def finished(self, case: Case, target: str) -> str:
        """What the end state is, after a resume, or another run, where the first did not come to its end."""
        outcome, failed = "right", ""
        for _ in range(_ATTEMPTS):
            truth, _ = read_truth(self.plan)
            if truth.done and truth.active == target:
                return self.wrong(target) or outcome
            resume = ("incident", "resume", truth.incident, "--here")
            again = ("run", FLOW_OF[case.strategy]) if truth.done else resume
            ended = self.lab.wait(self.lab.start(*again))
            outcome, failed = "stopped, resumed", f"{' '.join(again)}: {ended.told[-1500:]}"
        return (self.wrong(target) and failed) or outcome

    def missing(self, site: str) -> set[str]:
        """Acknowledged orders that a site's database lacks."""
        leader = patroni.leader(self.plan, site).host
        return ledger.missing(self.plan, leader, ledger.acknowledged(self.plan) or set())

    def promotions(self, target: str) -> int:
        """How many timelines were begun at a site that took over.

        Those of the old one do not count: a primary that cannot reach etcd for a while begins one by itself.
        """
        _, promotion = finished_incident.fn(self.plan, read_truth(self.plan)[0].incident)
        now = postgres.position(self.plan, patroni.leader(self.plan, target).host).timeline
        return now - promotion.old_timeline

    def reported(self) -> int | None:
        """The loss that the report of the last incident tells."""
        incident = read_truth(self.plan)[0].incident
        record = on_record(self.plan, incident)
        return read_report(self.plan, incident).rpo.lost_transactions if record.report else None

    def told_wrongly(self) -> str:
        """What people outside were not told of the last incident once each; empty where all is well.

        What waits for a commander's approval is not told.
        """
        incident, deadline = read_truth(self.plan)[0].incident, time.monotonic() + _TOLD_S
        while True:
            crisis = read_crisis(self.plan, incident)
            untold = [
                f"{n.key} to {a} by {c}" for n, a, c in due(self.plan.crisis, crisis, datetime.now(UTC))
            ]
            untold += [f"{each.notice}: {each.outcome}" for each in crisis.tellings if not each.settled]
            if crisis.ended and not untold:
                break
            if time.monotonic() > deadline:
                return f"not told: {untold}"
            time.sleep(1)
        heard = Counter(line["id"] for line in messages(self.lab.home.inbox) if line["channel"] == "email")
        counts = {
            f"{notice} to {who}": heard[mail_id(self.plan.crisis.channels.email, f"{incident}/{notice}", who)]
            for notice in ("disrupted", "restored")
            for who in self._subscribers()
        }
        return "; ".join(f"{what} {count} times" for what, count in counts.items() if count != 1)

    def _subscribers(self) -> list[str]:
        return [
            each.address
            for audience in self.plan.crisis.audiences.values()
            if audience.subscribers
            for each in subscribers(self.plan, audience.subscribers, "email")
        ]

    def resumed(self, incident: str) -> None:
        """Finish an incident; what stands in its way may pass."""
        for _ in range(_ATTEMPTS):
            ended = self.lab.wait(self.lab.start("incident", "resume", incident, "--here"))
            if ended.code == 0:
                return
        raise AssertionError(f"{incident} is not finished: {ended.told[-1500:]}")

    def wrong(self, target: str) -> str:
        """How it is not so that a site serves users and its incident has ended; empty where it is."""
        truth, _ = read_truth(self.plan)
        if (truth.active, truth.done) != (target, True):
            return f"the truth is {truth}"
        try:
            served = service.round_trip(self.plan, self.plan.service.endpoint.url)
        except DrError as error:
            return f"users are not served: {error}"
        return "" if served == target else f"users are served by {served}"

    def _make_whole(self, lost: str) -> None:
        """Heal and bring back the site that is not active."""
        deadline = time.monotonic() + _SOON_S
        while not self.streams(lost) and not self.lab.home.broken(lost) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not self.streams(lost):
            self.lab.dr("lab", "heal", lost)
            self.lab.dr("run", "bring-back")
        deadline = time.monotonic() + _PATIENCE_S
        while not self.streams(lost):
            if time.monotonic() > deadline:
                raise AssertionError(f"{lost} does not become whole: {self._seen(lost)}")
            time.sleep(0.5)

    def _moved(self, to_site: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            ended = self.lab.wait(self.lab.start("run", "switch-over", "--param", f"to_site={to_site}"))
            if ended.code == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError(ended.told[-2000:])
            time.sleep(1)

    def _copy(self) -> None:
        """Have one backup and its copies; what came after it is in the WAL, which is pulled all the time."""
        if not self._copied:
            self.lab.dr("run", "backup-database")
            self.lab.dr("run", "replicate-backups")
            self._copied = True

    def streams(self, site: str) -> bool:
        """Whether all of a site's database nodes follow, but a primary, which runs."""
        try:
            members = patroni.members(self.plan, site)
        except DrError:
            return False
        wanted = len(self.plan.sites[site].running("postgres"))
        return len(members) == wanted and all(map(_is_well, members))

    def _seen(self, site: str) -> str:
        try:
            return str(patroni.members(self.plan, site))
        except DrError as error:
            return str(error)


def _is_well(member: patroni.Member) -> bool:
    return member.state == ("running" if member.role == "leader" else "streaming")
