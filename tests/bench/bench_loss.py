"""`make bench-loss`: the loss that the report tells, beside the clients' own ledger.

Every run breaks the primary site under load; in every other one, replication to the DR site was held back
for some seconds before, so that there is a loss. The exact figure must be the ledger's, and the bound that
was told while the old site was gone must not be below it. Writes build/bench-loss.json.
"""

import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from shared import ENDLESS_S, Bench, count_asked, detect, write_results

from infra.load.ledger import Ledger, missing
from tasks.clients import patroni, postgres
from tasks.errors import Permanent
from tasks.plan.plan import Plan

HOLD_S = (3.0, 8.0)
AFTER_S = 3

console = Console(highlight=False)


@dataclass(frozen=True)
class Run:
    """One disaster and the loss it caused, in transactions; times in seconds.

    Attributes:
        held: how long replication was held back before the break.
        bound: the report's figure while the old site was gone.
        exact: the report's figure after its return.
        ledger_missing: the report's count of acknowledged orders that are gone.
        counted: the same, counted here.
        unacknowledged: transactions in the old WAL that no client was told of.
        seconds: the outage by the report.
        lost_seconds: the exact loss in time.
    """

    held: float
    bound: int
    exact: int
    ledger_missing: int
    counted: int
    unacknowledged: int
    seconds: float
    lost_seconds: float

    @property
    def disagreements(self) -> list[str]:
        """What must not be."""
        rules = {
            "exact is not ledger.missing": self.exact != self.ledger_missing,
            "ledger.missing is not what was counted here": self.ledger_missing != self.counted,
            "the bound is below the loss": self.bound < max(self.exact, self.counted),
            "nothing was lost although replication was held": self.held > 0 and self.counted == 0,
        }
        return [rule for rule, broken in rules.items() if broken]


def one_run(bench: Bench, held_s: float) -> Run:
    """A new lab, a disaster, the failover, the return."""
    plan = bench.fresh()
    old = plan.site_of("primary")
    if held_s:
        hold_replication(plan, held_s)
    bench.dr("lab", "break", old)
    reason = ("--param", "reason=bench", "--param", f"detected_at={detect(plan, 0).isoformat()}")
    bench.dr("trigger", "fail-over", *reason, "--wait", str(ENDLESS_S))
    bound = bench.report()
    if bound.rpo.basis != "bound":
        raise Permanent("the loss is not a bound while the old site is gone", bound.rpo.basis)
    time.sleep(AFTER_S)
    bench.dr("lab", "heal", old)
    bench.dr("trigger", "bring-back", "--wait", str(ENDLESS_S))
    exact = bench.report()
    if exact.rpo.basis != "exact" or exact.ledger is None:
        raise Permanent("the report was not completed", exact.model_dump_json())
    return Run(
        held=held_s,
        bound=bound.rpo.lost_transactions or 0,
        exact=exact.rpo.lost_transactions or 0,
        ledger_missing=exact.ledger.missing,
        counted=count(bench, plan),
        unacknowledged=exact.rpo.unacknowledged or 0,
        seconds=bound.rto_seconds.total,
        lost_seconds=exact.rpo.lost_seconds or 0.0,
    )


def hold_replication(plan: Plan, seconds: float) -> None:
    """Stop what sends WAL to the DR site, and let the load go on for some seconds.

    Raises:
        Permanent: nothing sends.
    """
    names = list(plan.sites[plan.site_of("dr")].running("postgres"))
    leader = patroni.leader(plan, plan.site_of("primary"))
    query = "select pid from pg_stat_replication where application_name = any(%s)"
    with postgres.connected(plan, leader.host) as connection:
        senders = [row["pid"] for row in connection.execute(query, (names,))]
    if not senders:
        raise Permanent("nothing sends WAL to the DR site", str(names))
    for pid in senders:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)


def count(bench: Bench, plan: Plan) -> int:
    """The acknowledged orders that the active database does not have, by the ledger and nothing of ours."""
    told = Ledger.read(bench.home.ledger).acknowledged
    leader = patroni.leader(plan, plan.site_of("dr"))
    with postgres.connected(plan, leader.host, timeout=60) as connection:
        kept = [row["id"] for row in connection.execute("select id::text from orders")]
    return len(missing(told, kept))


def holds(number: int) -> list[float]:
    """Seconds of each run: every other one holds replication back, each time longer."""
    held = number // 2
    step = (HOLD_S[1] - HOLD_S[0]) / max(1, held - 1)
    return [round(HOLD_S[0] + run // 2 * step, 2) if run % 2 else 0.0 for run in range(number)]


def results(runs: Sequence[Run]) -> dict[str, object]:
    """The file's content: median and worst of the loss and of its bound, over the runs with a loss."""
    lost = [run for run in runs if run.held] or list(runs)
    figures: dict[str, list[float]] = {
        "lost_transactions": [run.exact for run in lost],
        "lost_seconds": [run.lost_seconds for run in lost],
        "bound": [run.bound for run in lost],
    }
    told = {
        name: {"median": statistics.median(values), "worst": max(values)} for name, values in figures.items()
    }
    return {**told, "agree": not any(run.disagreements for run in runs), "runs": [vars(run) for run in runs]}


def show(runs: Sequence[Run]) -> None:
    """Print the table."""
    table = Table(
        "run", "held s", "bound", "exact", "ledger.missing", "unacknowledged", "lost s", "outage s", ""
    )
    for number, run in enumerate(runs, start=1):
        figures = (run.bound, run.exact, run.ledger_missing, run.unacknowledged, run.lost_seconds)
        told = "; ".join(run.disagreements) or "agree"
        table.add_row(str(number), f"{run.held:g}", *map(str, figures), f"{run.seconds:.1f}", told)
    console.print(table)


def main() -> int:
    """Run and judge: 1 where any run disagrees."""
    runs = list[Run]()
    with Bench() as bench:
        for held_s in holds(count_asked()):
            runs.append(one_run(bench, held_s))
            console.print(f"{len(runs)}: {runs[-1]}")
            # What was measured is kept if a later run is interrupted.
            write_results("bench-loss.json", results(runs))
    show(runs)
    return 1 if any(run.disagreements for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
