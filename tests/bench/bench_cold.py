"""A recovery from backups against bare pgBackRest, in the same lab, one right after the other.

Ours is `dr run recover-cold`, from its declaration until users are served and validated by the standby site.
Theirs is what an administrator types first: `pgbackrest restore` from the same copy onto the same host, and
a start until the database takes writes; who fences, redirects and validates is not in it. ROUNDS (3)
rounds over MEGABYTES (1000) of rows that compress about 2:1, each in a fresh lab. Ours ends the disaster,
so theirs comes first. Prints the seconds, and the ratio of the medians: ours over theirs.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench_backup_database import FILL, ROW_BYTES, TIMEOUT_S
from shared import Bench, write_results

from tasks.clients import patroni, pgbackrest
from tasks.clients.layout import Layout
from tasks.clients.pgbackrest_command import recovery_secrets
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.plan.plan import Plan

ROUNDS, MEGABYTES = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("MEGABYTES", "1000"))


def prepare(bench: Bench) -> Plan:
    """A lab with the rows, backed up and copied; then both sites' databases are gone."""
    bench.dr("lab", "down")
    bench.dr("lab", "up")
    plan = bench.home.plan()
    old, new = plan.site_of("primary"), plan.site_of("dr")
    server = Psql(plan, old, patroni.leader(plan, old).name)
    server.query(FILL % (MEGABYTES * 10**6 // ROW_BYTES), database=plan.service.database, timeout=TIMEOUT_S)
    bench.dr("run", "backup-database")
    bench.dr("run", "replicate-backups")
    bench.dr("lab", "wipe", new)
    bench.dr("lab", "break", old)
    time.sleep(plan.patroni_timings.ttl)  # the dead leader's lease: whoever declares has waited longer
    os.sync()
    return plan


def bare(plan: Plan) -> float:
    """Seconds for `pgbackrest restore` and a start until it takes writes; then it is removed again."""
    site = plan.site_of("dr")
    host = next(iter(plan.sites[site].running("postgres")))
    copy: Path = Layout.of(plan, site, host).data_dir.with_name("dr-bench")
    server = PrivateServer(plan, site, host, copy)
    began = time.monotonic()
    pgbackrest.restore(plan, site, (site, host), copy, timeout=TIMEOUT_S)
    server.start(timeout=TIMEOUT_S, secrets=recovery_secrets(plan, site))
    server.psql.query("create table bench_write (id int)", database="postgres")
    took = time.monotonic() - began
    server.stop(remove=True)
    os.sync()
    return took


def ours(bench: Bench) -> dict[str, Any]:
    """What the report says of `dr run recover-cold`."""
    bench.dr("run", "recover-cold", "--param", "reason=bench")
    report = bench.report()
    took = report.rto_seconds
    restored = report.restored
    if restored is None:
        raise AssertionError("the report tells of no restore")
    return {
        "until served": took.decide + took.execute + took.verify,
        "restore": restored.restore_s,
        "recover": restored.recover_s,
        "steps": {
            step.name: (step.ended - step.started).total_seconds() for step in report.steps if step.ended
        },
    }


def measure() -> dict[str, Any]:
    """Run all rounds."""
    rounds = []
    with Bench() as bench:
        for _ in range(ROUNDS):
            plan = prepare(bench)
            theirs = bare(plan)
            rounds.append({"bare": theirs, **ours(bench)})
            print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)  # noqa: T201 - progress
    middle = {name: statistics.median(each[name] for each in rounds) for name in ("bare", "until served")}
    return {
        "megabytes": MEGABYTES,
        "rounds": rounds,
        "seconds": middle,
        "ratio": round(middle["until served"] / middle["bare"], 3),
    }


if __name__ == "__main__":
    found = measure()
    write_results("bench_cold.json", found)
    print(json.dumps(found, indent=2))  # noqa: T201
