"""What a cycle of readiness costs: 10, 100 and 1,000 services, each with a plan of its own.

What would be seen is simulated (a tenth of the services has a fault); reading the plan, judging, and making
the page and the record are real. Prints seconds and milliseconds a service of one cycle, and the most memory
that the process had; what the looking costs, the servers decide.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from shared import write_results

sys.path.append(str(Path(__file__).parents[1]))
from ready_sights import well

from infra.lab.home import DEFAULT_PLAN
from tasks.errors import Transient
from tasks.plan.load import load_plan
from tasks.policy.readiness import judge_readiness
from tasks.policy.readiness_words import readiness_markdown

COUNTS = (10, 100, 1000)


def plans(folder: Path, count: int) -> Iterator[Path]:
    """So many plans, each of a service of its own."""
    shipped = DEFAULT_PLAN.read_text()
    name = yaml.safe_load(shipped)["service"]["name"]
    for number in range(count):
        file = folder / f"{number}.yaml"
        file.write_text(shipped.replace(f'"{name}"', f'"{name}-{number}"'))
        yield file


def cycle(files: list[Path]) -> dict[str, int]:
    """Evaluate every service; how many stand how."""
    standings: dict[str, int] = {}
    for number, file in enumerate(files):
        plan = load_plan(file)
        seen = well(plan) if number % 10 else well(plan, lags=Transient("no answer in time"))
        found = judge_readiness(plan, seen)
        if not readiness_markdown(found) or not found.model_dump_json():
            raise AssertionError("nothing was told")
        standings[found.standing] = standings.get(found.standing, 0) + 1
    return standings


def measure() -> list[dict[str, Any]]:
    """One cycle for each count."""
    told = []
    for count in COUNTS:
        with TemporaryDirectory() as folder:
            files = list(plans(Path(folder), count))
            began = time.monotonic()
            standings = cycle(files)
            took = time.monotonic() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row = {"services": count, "seconds": round(took, 2), "ms_each": round(took * 1000 / count, 1)}
        told.append({**row, "most_mib": round(memory), "standings": standings})
        print(json.dumps(told[-1]), flush=True)  # noqa: T201
    return told


if __name__ == "__main__":
    write_results("bench_readiness.json", {"cycles": measure()})
