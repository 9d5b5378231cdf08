"""The plan that the flows of this process work for: DR_PLAN where set."""

import os
from functools import lru_cache
from pathlib import Path

from tasks.errors import Refused
from tasks.plan.load import load_plan
from tasks.plan.plan import Plan


def current_plan() -> Plan:
    """Load the plan that DR_PLAN names.

    Raises:
        Refused: DR_PLAN is not set, or the plan has mistakes.
    """
    path = os.environ.get("DR_PLAN")
    if not path:
        raise Refused("no plan is given", hint="set DR_PLAN to the plan's file")
    file = Path(path)
    written = file.stat() if file.exists() else None
    return _loaded(file, (written.st_mtime_ns, written.st_size) if written else None)


@lru_cache(1)
def _loaded(path: Path, _written: tuple[int, int] | None) -> Plan:
    # A run's process asks for its logs and again for its flow; each load takes 50 ms.
    return load_plan(path)
