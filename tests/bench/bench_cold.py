"""A recovery from backups against bare pgBackRest, in the same lab, bare right before it and right after it.

Ours is `dr run recover-cold`, from its declaration until users are served and validated by the standby site.
Theirs is what an administrator types first: `pgbackrest restore` from the same copy onto the same host, and
a start until the database takes writes; who fences, redirects and validates is not in it. ROUNDS (3)
rounds over MEGABYTES (10000) of rows that compress about 2:1, each in a fresh lab; ours spends about five
seconds besides the restore, whatever its size. Nothing is in the machine's memory when one begins, as on a
host that stood idle; a later restore is slower than an earlier one, whosever it is: theirs is the mean of the
two. Prints the seconds, and the ratio of the medians: ours over theirs.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rows import fill
from shared import Bench, write_results

from infra.lab.home import DEFAULT_PLAN
from tasks.clients import pgbackrest
from tasks.clients.layout import Layout
from tasks.clients.pgbackrest_command import recovery_secrets
from tasks.clients.private import PrivateServer
from tasks.plan.plan import Plan

ROUNDS, MEGABYTES = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("MEGABYTES", "10000"))
TIMEOUT_S, SETTLE_S = 1200, 10
CACHES = Path("/proc/sys/vm/drop_caches")


def lean_plan(folder: Path) -> Path:
    """The shipped plan with one replica at the primary site, and one database host at the other."""
    plan = yaml.safe_load(DEFAULT_PLAN.read_text())
    nodes = plan["postgresql_ha"]["nodes"]
    nodes["replicas"] = nodes["replicas"][:1]
    kept = {nodes["primary"]["name"], nodes["replicas"][0]["name"]}
    for site in plan["sites"].values():
        databases = [name for name, host in site["hosts"].items() if "postgres" in host["runs"]]
        for name in set(databases[1:]) - kept:
            del site["hosts"][name]
    lean = folder / "plan.yaml"
    lean.write_text(yaml.safe_dump(plan, sort_keys=False))
    return lean


def prepare(bench: Bench, source: Path) -> Plan:
    """A lab with the rows, backed up and copied; then both sites' databases are gone."""
    bench.dr("lab", "down")
    bench.dr("lab", "up", "--plan", str(source))
    plan = bench.home.plan()
    old, new = plan.site_of("primary"), plan.site_of("dr")
    fill(plan, old, MEGABYTES)
    bench.dr("run", "backup-database")
    bench.dr("lab", "wipe", new)  # before there are more copies: less disk is needed
    bench.dr("run", "replicate-backups")
    bench.dr("lab", "wipe", old)
    bench.dr("lab", "break", old)
    time.sleep(plan.patroni_timings.ttl)  # the dead leader's lease: whoever declares has waited longer
    return plan


def settle() -> None:
    """Nothing of what was before is left to be written, or is in memory: proc(5), drop_caches."""
    os.sync()
    CACHES.write_text("3")
    time.sleep(SETTLE_S)


def bare(plan: Plan) -> float:
    """Seconds for `pgbackrest restore` and a start until it takes writes; then it is removed again."""
    site = plan.site_of("dr")
    host = next(iter(plan.sites[site].running("postgres")))
    copy: Path = Layout.of(plan, site, host).data_dir.with_name("dr-bench")
    server = PrivateServer(plan, site, host, copy)
    settle()
    began = time.monotonic()
    pgbackrest.restore(plan, site, (site, host), copy, timeout=TIMEOUT_S)
    server.start(timeout=TIMEOUT_S, secrets=recovery_secrets(plan, site))
    server.psql.query("create table bench_write (id int)", database="postgres")
    took = time.monotonic() - began
    server.stop(remove=True)
    return took


def ours(bench: Bench) -> dict[str, Any]:
    """What the report says of `dr run recover-cold`."""
    settle()
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
    with Bench() as bench, TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            plan = prepare(bench, lean_plan(Path(folder)))
            before, told = bare(plan), ours(bench)
            after = bare(plan)
            rounds.append({"bare": (before + after) / 2, "before": before, "after": after, **told})
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
