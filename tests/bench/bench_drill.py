"""The restore drill against the same restores and checks by hand, and what its reading costs the users.

A database of MEGABYTES (5000), in a lab of its own. `drill` is `dr run drill-backup-restoration` of the DR
site's copy, from its begin to its report; `by hand` is what it contains: one standby read as the drill reads
it, and for each of its two restores pgBackRest, a start, pg_amcheck, every row read, the comparison, the
removal. `users` is the p95 of the orders' answers while some blocks of a standby are added up, and in a quiet
time as long right after, in turns, over a sample as a drill takes it. ROUNDS (3) of each; prints the ratio of
the medians of the turns', and of the p95 of all answers.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rows import fill
from shared import Bench, write_results

from infra.load.ledger import Ledger
from tasks.clients import drill_ground, patroni, pgbackrest
from tasks.clients.digests import digests_of
from tasks.clients.pgbackrest_command import recovery_secrets
from tasks.clients.private import PrivateServer
from tasks.clients.standpoint import standing
from tasks.drill_evidence import read_drill_reports
from tasks.facts.drill import Drill, Variant
from tasks.plan.plan import Plan
from tasks.policy.database_backup import choose_standby
from tasks.rehearse import REST, check_invariants, choose_database, compare_rows, sampled, take_reference

ROUNDS, MEGABYTES = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("MEGABYTES", "5000"))
TIMEOUT_S, SETTLE_S, ENOUGH = 1200, 60, 40
SCRATCH = {"fsync": "off", "full_page_writes": "off"}
VARIANTS: tuple[Variant, ...] = ("newest", "random")
DRILL = ("run", "drill-backup-restoration", "--param", 'assets=["database"]', "--param")


def drill(bench: Bench, plan: Plan) -> tuple[float, Drill]:
    """Seconds of a drill, by its report, and what it was."""
    bench.dr(*DRILL, f'sites=["{plan.site_of("dr")}"]')
    report = read_drill_reports(plan)[-1]
    return report.duration.total_seconds(), report.drill


def by_hand(plan: Plan, like: Drill) -> float:
    """Seconds for what a drill contains, one after the other; choosing the copies is not counted."""
    named = like.model_copy(update={"id": f"{drill_ground.PREFIX}bench"})
    began = time.monotonic()
    reference = take_reference.fn(plan, named)
    took = time.monotonic() - began
    for variant in VARIANTS:
        target = choose_database.fn(plan, named, plan.site_of("dr"), variant, reference)
        began, place = time.monotonic(), target.place
        server = PrivateServer(plan, place.site, place.host, place.directory, SCRATCH)
        pgbackrest.restore(
            plan, place.from_site, (place.site, place.host), place.directory,
            target=target.at, lsn=target.lsn, timeout=TIMEOUT_S,
        )  # fmt: skip
        server.start(timeout=TIMEOUT_S, secrets=recovery_secrets(plan, place.from_site))
        server.amcheck(timeout=TIMEOUT_S)
        digests_of(server.psql)
        if target.lsn:
            compare_rows.fn(plan, target, reference)
        check_invariants.fn(plan, target)
        server.stop(remove=True)
        took += time.monotonic() - began
    return took


def users(bench: Bench, plan: Plan, seed: str) -> list[dict[str, list[float]]]:
    """How long answers took, in seconds: while blocks of a standby are added up, and as long after it."""
    site = plan.site_of("primary")
    name = choose_standby(patroni.members(plan, site))
    primary = patroni.leader(plan, site).host
    turns = []
    with standing(plan, str(plan.sites[site].hosts[str(name)].address), primary) as point:
        for each in sampled(point.ranges(), plan.drills.sample, seed):
            began = time.time()
            point.digests([each], REST, lambda _: None)
            ended = time.time()
            time.sleep(ended - began)
            turns.append((began, ended, time.time()))
    took = partial(_took, Ledger.read(bench.home.ledger))
    told = [{"read": took(began, ended), "quiet": took(ended, over)} for began, ended, over in turns]
    # A table of a few rows is read before anybody asks.
    return [each for each in told if min(map(len, each.values())) >= ENOUGH]


def _took(book: Ledger, since: float, until: float) -> list[float]:
    asked = (each for each in book.acknowledged.values() if since <= each.sent_at < until)
    return [each.acknowledged_at - each.sent_at for each in asked]


def measure() -> dict[str, Any]:
    """Run all rounds."""
    drills, turns = list[dict[str, float]](), list[dict[str, list[float]]]()
    with Bench() as bench:
        bench.dr("lab", "down")
        bench.dr("lab", "up")
        plan = bench.home.plan()
        fill(plan, plan.site_of("primary"), MEGABYTES)
        bench.dr("run", "backup-database")
        bench.dr("run", "replicate-backups")
        for _ in range(ROUNDS):
            took, like = drill(bench, plan)
            drills.append({"drill": took, "by hand": by_hand(plan, like)})
            _tell(drills[-1])
        bench.dr("lab", "load")
        time.sleep(SETTLE_S)
        for number in range(ROUNDS):
            turns += users(bench, plan, str(number))
    return {
        "megabytes": MEGABYTES,
        "drills": drills,
        "turns": len(turns),
        "drill over by hand": _ratio([each["drill"] / each["by hand"] for each in drills]),
        "p95 while read over p95 between": {
            "median of the turns": _over(lambda name: statistics.median(_p95(each[name]) for each in turns)),
            "all answers": _over(lambda name: _p95([took for each in turns for took in each[name]])),
        },
    }


def _over(of: Callable[[str], float]) -> float:
    return round(of("read") / of("quiet"), 3)


def _p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20)[-1]


def _ratio(ratios: list[float]) -> float:
    return round(statistics.median(ratios), 3)


def _tell(row: dict[str, float]) -> None:
    print(json.dumps(row), file=sys.stderr, flush=True)  # noqa: T201 - progress


if __name__ == "__main__":
    found = measure()
    write_results("bench_drill.json", found)
    print(json.dumps(found, indent=2))  # noqa: T201
