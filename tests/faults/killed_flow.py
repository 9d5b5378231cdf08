"""`killed_flow.py FLOW STEP WHEN [name=value ...]`: a flow that kills its own process at a step's boundary.

With SIGKILL, before or after (WHEN) the record of its step STEP is written: a step's name, or its number,
counted from 1; steps that run side by side are counted as they end. `DR_PLAN` names the plan. It ends as the
flow does where it has no such step.
"""

import itertools
import os
import signal
import sys
from typing import Any

from deployments.run import entrypoint_of, parse_parameters, run
from tasks.clients import journal


def main(flow: str, step: str, when: str, pairs: list[str]) -> None:
    """Plant the kill, then run the flow."""
    write, counted = journal.write, itertools.count(1)

    def write_and_die(plan: Any, site: str, incident: str, name: str, data: str | bytes) -> None:
        due = name.startswith("steps/") and (
            name.endswith(f"-{step.replace(' ', '-')}.json") or str(next(counted)) == step
        )
        if due and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        write(plan, site, incident, name, data)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)

    journal.write = write_and_die
    run(entrypoint_of(flow), parse_parameters(pairs))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
