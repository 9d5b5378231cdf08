"""`make bench-switchover`: acknowledged orders lost, and how long writes pause, where nothing should be lost.

COUNT planned moves there and back, then COUNT failovers inside the active site (its PostgreSQL leader dies by
SIGKILL), all in one lab under one load. The pause is what users saw: the longest time without an acknowledged
order. Writes build/bench-switchover.json.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from shared import ENDLESS_S, Bench, count_asked, summary, write_results

from infra.lab.processes import kill_all
from infra.load.ledger import Ledger
from tasks.clients import ledger, patroni, postgres
from tasks.errors import DrError, Permanent
from tasks.plan.plan import Plan

AROUND_S = 2
PATIENCE_S = 90

console = Console(highlight=False)


@dataclass(frozen=True)
class Run:
    """One move or failover.

    Attributes:
        what: which.
        pause: seconds without an acknowledged order.
        lost: acknowledged orders that the active database lacks.
        acknowledged: orders acknowledged so far.
    """

    what: str
    pause: float
    lost: int
    acknowledged: int


def measured(bench: Bench, what: str, site: str, act: Callable[[], None]) -> Run:
    """Do one thing under load, and count."""
    began = time.time()
    act()
    time.sleep(AROUND_S)
    plan, book = bench.home.plan(), Ledger.read(bench.home.ledger)
    times = sorted(
        entry.acknowledged_at
        for entry in book.acknowledged.values()
        if entry.acknowledged_at > began - AROUND_S
    )
    pause = max((later - earlier for earlier, later in pairwise(times)), default=ENDLESS_S)
    lost = ledger.missing(plan, patroni.leader(plan, site).host, set(book.acknowledged))
    run = Run(what, round(pause, 3), len(lost), len(book.acknowledged))
    console.print(str(run))
    return run


def settled(plan: Plan, site: str, *, standbys: int) -> None:
    """Wait until every node of a site streams, and one of them synchronously where the site has that.

    Raises:
        Permanent: it does not come to that.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            members = patroni.members(plan, site)
            well = sum(member.state in {"running", "streaming"} for member in members)
            # Patroni lets a standby lead only once etcd knows that it is synchronous.
            if well == standbys + 1 and any(member.role == "sync_standby" for member in members):
                return
        except DrError:
            pass
        time.sleep(0.5)
    raise Permanent(f"{site} does not become whole again")


def moves(bench: Bench, count: int) -> list[Run]:
    """Planned moves, there and back."""
    plan = bench.home.plan()
    away, home = plan.site_of("dr"), plan.site_of("primary")
    runs = []
    for _ in range(count):
        for flow, site in (("switch-over", away), ("fail-back", home)):
            runs.append(measured(bench, flow, site, lambda f=flow: bench.dr("trigger", f, "--wait", "200")))
    return runs


def failovers(bench: Bench, count: int) -> list[Run]:
    """Failovers inside the active site."""
    plan, site = bench.home.plan(), bench.home.plan().site_of("primary")
    standbys = len(plan.sites[site].running("postgres")) - 1
    runs = []
    for _ in range(count):
        settled(plan, site, standbys=standbys)
        runs.append(measured(bench, "in-site failover", site, lambda: _lose_the_leader(bench, plan, site)))
    return runs


def _lose_the_leader(bench: Bench, plan: Plan, site: str) -> None:
    old = patroni.leader(plan, site).name
    kill_all(bench.home.directory, bench.home.root(site, old), f"{site}/{old}/")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            node = patroni.leader(plan, site)
            if node.name != old:
                postgres.prove_write(plan, node.host, "after the loss of the leader")
                break
        except DrError:
            pass
        time.sleep(0.2)
    bench.dr("lab", "up")  # the host's supervisor starts what is missing


def results(runs: list[Run]) -> dict[str, object]:
    """The file's content, by what was done."""
    told = {}
    for what in dict.fromkeys(run.what for run in runs):
        these = [run for run in runs if run.what == what]
        told[what] = {
            "count": len(these),
            "lost": sum(run.lost for run in these),
            "pause": summary([run.pause for run in these]) | {"worst": max(run.pause for run in these)},
        }
    return {**told, "runs": [asdict(run) for run in runs]}


def main() -> int:
    """Run and judge: 1 where an order is lost, or a planned move pauses writes for 5 s in the median."""
    count, runs = count_asked(), list[Run]()
    with Bench() as bench:
        bench.fresh()
        for part in (moves, failovers):
            runs += part(bench, count)
            write_results("bench-switchover.json", results(runs))
    table = Table("what", "runs", "lost", "pause, median s", "worst s")
    for what in dict.fromkeys(run.what for run in runs):
        these = [run for run in runs if run.what == what]
        pauses = [run.pause for run in these]
        lost = str(sum(run.lost for run in these))
        table.add_row(what, str(len(these)), lost, f"{statistics.median(pauses):.2f}", f"{max(pauses):.2f}")
    console.print(table)
    planned = [run.pause for run in runs if run.what != "in-site failover"]
    return 1 if any(run.lost for run in runs) or statistics.median(planned) >= 5 else 0


if __name__ == "__main__":
    sys.exit(main())
