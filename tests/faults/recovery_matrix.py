"""`make faults`: recoveries under faults, each to the right end or to a clear stop that `resume` finishes.

Every strategy is killed before and after the record of each of its steps and at random moments, then
resumed; and struck by the faults of recovery_faults.py. Under a load with a ledger, and beside writers
straight at every node. `SAMPLE=20 SEED=7` runs a repeatable part; `STRATEGY` and `FAULT` narrow it, `MOMENTS`
is how many random moments there are. Writes build/faults.json: each case's name, outcome,
split_brain_writes, lost and reported; those of cases that were not run again stay. `MISSING=1` runs what is
not known there to be good.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from campaign import Campaign, campaign, tell
from double_writes import Samplers
from recovery_cases import FLOW_OF, MOST_STEPS, Case, Result, cases, table
from recovery_faults import FAULTS, LINK_FAULTS
from recovery_ground import Ground

from infra.lab.control import client_settings

BUILD = Path(__file__).parents[2] / "build"
KILLED_FLOW = Path(__file__).with_name("killed_flow.py")
RESULTS = BUILD / "faults.json"
SAMPLE = int(os.environ.get("SAMPLE", "0"))
MISSING = bool(os.environ.get("MISSING"))
ORDERS_A_SECOND = 20
SETTLE_S = 3
_SHOWN = 400
# What is restored beside is recovered on a timeline of its own before it is put in service.
IN_PRIVATE = {"cold": 1}
# Until the first run of a strategy has told how long it takes.
FIRST_GUESS_S = 6.0


class Matrix:
    """The cases, run one after another on one ground."""

    def __init__(self, lab: Campaign) -> None:
        self.lab, self.ground = lab, Ground(lab)
        self._took = dict[str, float]()

    def run(self, case: Case) -> Result | None:
        """Run one; None where its flow has fewer steps, or was over before the moment."""
        began = time.monotonic()
        source, target = self.ground.ready(case)
        lacking = self.ground.missing(source)
        with Samplers(self.lab.plan) as samplers:
            time.sleep(1)
            since = time.time()
            self.ground.strike(case, source, target)
            stop = self._met(case)
            outcome = self.ground.finished(case, target)
            time.sleep(1)
        if stop is None:
            return None
        return Result(
            name=case.name,
            outcome=outcome,
            stop=stop,
            split_brain_writes=samplers.overlaps(since),
            lost=len(self.ground.missing(target) - lacking),
            reported=self.ground.reported(),
            promotions=self.ground.promotions(target) - IN_PRIVATE.get(case.strategy, 0),
            seconds=round(time.monotonic() - began, 1),
            told=self.ground.told_wrongly() if case.strategy in {"hot", "cold"} else "",
        )

    def _met(self, case: Case) -> str | None:
        """Run the flow with what befalls it; with which words it stopped, None where nothing befell it."""
        flow = FLOW_OF[case.strategy]
        if case.fault == "kill":
            return "" if self._killed_at_step(case, flow) else None
        if case.fault == "moment":
            return "" if self._killed_at_a_moment(case, flow) else None
        ended = (FAULTS | LINK_FAULTS)[case.fault](self.lab, flow)
        return ended.told.rpartition("\ndr: ")[2][-_SHOWN:] if ended.code else ""

    def _killed_at_step(self, case: Case, flow: str) -> bool:
        argv = [sys.executable, str(KILLED_FLOW), flow, str(case.step), case.when]
        environment = os.environ | client_settings(self.lab.home, self.lab.plan)
        began = time.monotonic()
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode == 0:
            self._took[case.strategy] = time.monotonic() - began
        return done.returncode < 0

    def _killed_at_a_moment(self, case: Case, flow: str) -> bool:
        process = self.lab.start("run", flow)
        try:
            process.wait(self.lab.chance.uniform(1, self._took.get(case.strategy, FIRST_GUESS_S)))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        process.communicate()
        return False


def chosen(lab: Campaign) -> list[Case]:
    """Every case (only those missing, if asked), or SAMPLE of them, in their order."""
    good = {result.name for result in known_results() if result.good} if MISSING else set[str]()
    wanted = [case for case in cases() if case.name not in good]
    if not SAMPLE:
        return wanted
    return sorted(lab.chance.sample(wanted, min(SAMPLE, len(wanted))), key=wanted.index)


def results(lab: Campaign, wanted: list[Case]) -> Iterator[Result]:
    """Each in turn; a strategy's later steps are left out once its flow has no such step."""
    matrix, none_from = Matrix(lab), dict[str, int]()
    for case in wanted:
        if case.fault == "kill" and case.step >= none_from.get(case.strategy, MOST_STEPS):
            continue
        result = matrix.run(case)
        if result is not None:
            yield result
        elif case.fault == "kill":
            none_from[case.strategy] = case.step


def known_results() -> list[Result]:
    """What earlier runs have found."""
    return [Result(**each) for each in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def keep(result: Result) -> list[Result]:
    """Put a result in the place of the case's last one; all that is known."""
    found = {each.name: each for each in known_results()} | {result.name: result}
    RESULTS.write_text(json.dumps([asdict(each) for each in found.values()], indent=2) + "\n")
    return list(found.values())


def main() -> None:
    """Run them, keep what was found after each, and judge."""
    found, known = list[Result](), list[Result]()
    BUILD.mkdir(exist_ok=True)
    for network, faults in (("loopback", {"kill", "moment", *FAULTS}), ("namespaces", set(LINK_FAULTS))):
        if not any(case.fault in faults for case in cases()):
            continue
        with campaign(network) as lab:
            wanted = [case for case in chosen(lab) if case.fault in faults]
            lab.dr("deploy")
            lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
            time.sleep(SETTLE_S)
            for result in results(lab, wanted):
                found.append(result)
                known = keep(result)
                tell(f"{'good' if result.good else 'WRONG'}  {asdict(result)}")
    wrong = [result for result in found if not result.good]
    tell("\n".join(["all that is known, this run and earlier ones:", *table(known)]))
    tell(f"{len(found)} cases, {len(wrong)} wrong")
    sys.exit("\n".join(f"{each.name}: {each.outcome}" for each in wrong) if wrong or not found else 0)


if __name__ == "__main__":
    main()
