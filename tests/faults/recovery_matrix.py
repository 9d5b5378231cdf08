"""`make faults`: recoveries under faults, each to the right end or to a clear stop that `resume` finishes.

Every strategy is killed before and after the record of each of its steps, then resumed; and struck by the
faults of recovery_faults.py. Under a load with a ledger, and beside writers straight at every node.
`SAMPLE=20 SEED=7` runs a repeatable part; `STRATEGY` and `FAULT` narrow it. Writes build/faults.json: each
case's name, outcome, split_brain_writes, lost and reported.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from campaign import Campaign, asked, campaign, tell
from double_writes import Samplers
from recovery_faults import FAULTS, strike

from infra.lab.control import client_settings
from tasks.clients import ledger, orders, patroni, postgres
from tasks.clients.truth import read_truth
from tasks.errors import DrError
from tasks.evidence import read_report
from tasks.incidents import on_record

BUILD = Path(__file__).parents[2] / "build"
KILLED_FLOW = Path(__file__).with_name("killed_flow.py")
SAMPLE = int(os.environ.get("SAMPLE", "0"))
ORDERS_A_SECOND = 20
SETTLE_S = 3
MOST_STEPS = 15
FLOW_OF = {"hot": "fail-over", "switchover": "switch-over", "failback": "fail-back"}


@dataclass(frozen=True)
class Case:
    """One strategy and what befalls it: a kill at a step's boundary, or a named fault."""

    strategy: str
    fault: str
    step: int = 0
    when: str = ""

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.strategy} x {f'kill -9 {self.when} step {self.step}' if self.step else self.fault}"


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        name: the case.
        outcome: "right", "stopped, resumed", or what is wrong.
        split_brain_writes: writes that the old site took after the new one's first.
        lost: acknowledged orders that the active database lacks, by the ledger.
        reported: the loss that the report tells.
        promotions: timelines that were begun.
    """

    name: str
    outcome: str
    split_brain_writes: int
    lost: int
    reported: int | None
    promotions: int

    @property
    def good(self) -> bool:
        """Whether it is what it must be."""
        return (
            self.outcome in {"right", "stopped, resumed"}
            and self.split_brain_writes == 0
            and self.lost <= (self.reported or 0)
            and self.promotions == 1
        )


def cases() -> list[Case]:
    """All of them, or SAMPLE of them."""
    kills = [
        Case(strategy, "kill", step, when)
        for strategy in FLOW_OF
        for step in range(1, MOST_STEPS)
        for when in ("before", "after")
    ]
    struck = [Case(strategy, fault) for strategy in FLOW_OF for fault in FAULTS]
    return [c for c in (*kills, *struck) if asked("STRATEGY", c.strategy) and asked("FAULT", c.fault)]


class Matrix:
    """One lab through all cases; the service is at its home, and whole, before each."""

    def __init__(self, lab: Campaign) -> None:
        self.lab = lab
        self.home, self.away = lab.plan.site_of("primary"), lab.plan.site_of("dr")

    def run(self, case: Case) -> Result | None:
        """Run one; None where its flow has fewer steps."""
        plan = self.lab.plan
        source, target = self._ready(case)
        before = self._before(source)
        with Samplers(plan) as samplers:
            time.sleep(1)
            began = time.time()
            if case.strategy == "hot":
                self.lab.dr("lab", "break", source)
            if self._struck(case) is None:
                return None
            outcome = self._finished(FLOW_OF[case.strategy], target)
            time.sleep(1)
        overlaps = samplers.overlaps(began)
        lost = self._missing(target) - before.missing
        incident = read_truth(plan)[0].incident
        reported = self._reported(incident)
        promotions = self._timeline(target) - before.timeline
        return Result(case.name, outcome, overlaps, len(lost), reported, promotions)

    def _struck(self, case: Case) -> str | None:
        """How the first run ended, in its last words; empty for well, None where nothing was killed."""
        plan, flow = self.lab.plan, FLOW_OF[case.strategy]
        if not case.step:
            return strike(self.lab, case.fault, flow)
        argv = [sys.executable, str(KILLED_FLOW), flow, str(case.step), case.when]
        environment = os.environ | client_settings(self.lab.home, plan)
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 0:
            return None
        return "killed" if done.returncode < 0 else done.stdout[-1000:] + done.stderr[-1000:]

    def _finished(self, flow: str, target: str) -> str:
        """What the end state is, after a resume where the first run did not come to its end."""
        plan = self.lab.plan
        resumed = False
        truth, _ = read_truth(plan)
        if not truth.done:
            told = self.lab.wait(self.lab.start("incident", "resume", truth.incident, "--here"))
            resumed = True
            if told.code:
                return f"resume failed: {told.told[-1500:]}"
        elif truth.active != target:  # it stopped, or was killed, before it had begun
            told = self.lab.wait(self.lab.start("run", flow))
            resumed = True
            if told.code:
                return f"a second run failed: {told.told[-1500:]}"
        return self._wrong(target) or ("stopped, resumed" if resumed else "right")

    def _wrong(self, target: str) -> str:
        plan = self.lab.plan
        truth, _ = read_truth(plan)
        if (truth.active, truth.done) != (target, True):
            return f"the truth is {truth}"
        try:
            served = orders.round_trip(plan.service.endpoint.url)
        except DrError as error:
            return f"users are not served: {error}"
        return "" if served == target else f"users are served by {served}"

    def _ready(self, case: Case) -> tuple[str, str]:
        """Bring the service to where the case begins, both sites whole."""
        begins = self.away if case.strategy == "failback" else self.home
        truth, _ = read_truth(self.lab.plan)
        other = self.home if begins == self.away else self.away
        if truth.active != begins:
            self._whole(other if truth.active == other else begins)
            self._moved(begins)
        self._whole(begins)
        return begins, other

    def _whole(self, active: str) -> None:
        """Heal and bring back the site that is not active."""
        lost = self.home if active == self.away else self.away
        if not self._streams(lost):
            self.lab.dr("lab", "heal", lost)
            self.lab.dr("run", "bring-back")
        deadline = time.monotonic() + 60
        while not self._streams(lost) and time.monotonic() < deadline:
            time.sleep(0.5)

    def _moved(self, to_site: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            ended = self.lab.wait(self.lab.start("run", "switch-over", "--param", f"to_site={to_site}"))
            if ended.code == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError(ended.told[-2000:])
            time.sleep(1)

    def _streams(self, site: str) -> bool:
        try:
            members = patroni.members(self.lab.plan, site)
        except DrError:
            return False
        wanted = len(self.lab.plan.sites[site].running("postgres"))
        return len(members) == wanted and all(member.state == "streaming" for member in members)

    def _before(self, source: str) -> "Before":
        return Before(self._missing(source), self._timeline(source))

    def _timeline(self, site: str) -> int:
        return postgres.position(self.lab.plan, patroni.leader(self.lab.plan, site).host).timeline

    def _missing(self, site: str) -> set[str]:
        plan = self.lab.plan
        return ledger.missing(plan, patroni.leader(plan, site).host, ledger.acknowledged(plan) or set())

    def _reported(self, incident: str) -> int | None:
        record = on_record(self.lab.plan, incident)
        return read_report(self.lab.plan, incident).rpo.lost_transactions if record.report else None


@dataclass(frozen=True)
class Before:
    """What was so before a case: orders missing already, and the timeline."""

    missing: set[str]
    timeline: int


def results(lab: Campaign) -> Iterator[Result]:
    """Every case in turn; a strategy's later steps are left out once its flow has no such step."""
    wanted = cases()
    if SAMPLE:
        wanted = sorted(lab.chance.sample(wanted, min(SAMPLE, len(wanted))), key=wanted.index)
    matrix, none_from = Matrix(lab), dict[str, int]()
    for case in wanted:
        if case.step and case.step >= none_from.get(case.strategy, MOST_STEPS):
            continue
        result = matrix.run(case)
        if result is None:
            none_from[case.strategy] = case.step
        else:
            yield result


def main() -> None:
    """Run them, keep what was found after each, and judge."""
    found: list[Result] = []
    with campaign() as lab:
        lab.dr("deploy")
        lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
        time.sleep(SETTLE_S)
        BUILD.mkdir(exist_ok=True)
        for result in results(lab):
            found.append(result)
            tell(f"{'good' if result.good else 'WRONG'}  {asdict(result)}")
            (BUILD / "faults.json").write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")
    wrong = [result for result in found if not result.good]
    tell(f"{len(found)} cases, {len(wrong)} wrong")
    sys.exit("\n".join(f"{each.name}: {each.outcome}" for each in wrong) if wrong or not found else 0)


if __name__ == "__main__":
    main()
