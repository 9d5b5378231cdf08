"""The cases of the recovery matrix: every strategy, killed at each step and at any moment, and struck."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from campaign import asked
from recovery_faults import FAULTS, LINK_FAULTS

RANDOM_MOMENTS = int(os.environ.get("MOMENTS", "40"))
MOST_STEPS = 24
_NUMBER = re.compile(r" (of step \d+|\(\d+\))$")
FLOW_OF = {"hot": "fail-over", "cold": "recover-cold", "switchover": "switch-over", "failback": "fail-back"}


@dataclass(frozen=True)
class Case:
    """One strategy and what befalls it.

    Attributes:
        strategy: which, as in FLOW_OF.
        fault: one of FAULTS or LINK_FAULTS; "kill" at a step's boundary; "moment" for a kill at any moment.
        step: the step's number from 1, or the moment's.
        when: "before" or "after" the record of that step.
    """

    strategy: str
    fault: str
    step: int = 0
    when: str = ""

    @property
    def name(self) -> str:
        """As the table shows it."""
        told = {
            "kill": f"kill -9 {self.when} the record of step {self.step}",
            "moment": f"kill -9 at a random moment ({self.step})",
        }
        return f"{self.strategy} x {told.get(self.fault, self.fault)}"


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        name: the case.
        outcome: "right", "stopped, resumed", or what is wrong.
        split_brain_writes: writes that the old site took after the new one's first.
        lost: acknowledged orders that the active database lacks, by the ledger.
        reported: the loss that the report tells.
        promotions: timelines that were begun at the site that took over.
        seconds: for how long the case ran.
        stop: the last words of a run that stopped.
        told: what people outside were told otherwise than once each; empty where all is well.
    """

    name: str
    outcome: str
    split_brain_writes: int
    lost: int
    reported: int | None
    promotions: int
    seconds: float
    stop: str = ""
    told: str = ""

    @property
    def good(self) -> bool:
        """Whether it is what it must be."""
        return (
            self.outcome in {"right", "stopped, resumed"}
            and self.split_brain_writes == 0
            and self.lost <= (self.reported or 0)
            and self.promotions == 1
            and not self.told
        )


def cases() -> list[Case]:
    """All of them; a kill beyond a flow's last step is left out when it is met."""
    kills = [
        Case(strategy, "kill", step, when)
        for strategy in FLOW_OF
        for step in range(1, MOST_STEPS)
        for when in ("before", "after")
    ]
    strategies = list(FLOW_OF)
    moments = [Case(strategies[n % len(strategies)], "moment", n + 1) for n in range(RANDOM_MOMENTS)]
    struck = [Case(strategy, fault) for strategy in FLOW_OF for fault in (*FAULTS, *LINK_FAULTS)]
    every = (*kills, *moments, *struck)
    return [case for case in every if asked("STRATEGY", case.strategy) and asked("FAULT", case.fault)]


def table(found: Sequence[Result]) -> list[str]:
    """The results as a table in Markdown: a row for each kind of fault, a column for each strategy."""
    rows = dict[str, dict[str, list[Result]]]()
    for result in found:
        strategy, _, fault = result.name.partition(" x ")
        kind = _NUMBER.sub("", fault)
        rows.setdefault(kind, {}).setdefault(strategy, []).append(result)
    head = ["| fault |" + "".join(f" {strategy} |" for strategy in FLOW_OF), "|-|" + "-|" * len(FLOW_OF)]
    cells = ((kind, [_cell(row.get(strategy, [])) for strategy in FLOW_OF]) for kind, row in rows.items())
    return head + [f"| {kind} | {' | '.join(told)} |" for kind, told in cells]


def _cell(results: Sequence[Result]) -> str:
    good = [result for result in results if result.good]
    again = sum(result.outcome != "right" for result in good)
    wrong = f", **{len(results) - len(good)} wrong**" if len(good) < len(results) else ""
    return f"{len(good)} right ({again} resumed){wrong}" if results else "not run"
