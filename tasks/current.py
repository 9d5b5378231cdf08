"""The plan that the flows of this process work for: DR_PLAN where set."""

import os
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
    return load_plan(Path(path))
