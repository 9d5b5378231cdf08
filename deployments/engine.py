"""Prefect's engine, as the workers start it: logs and traces begin first, and routine work stands back."""

import runpy
import sys

from deployments.priority import stand_back
from deployments.telemetry import running_flows
from infra.control import ROUTINE_POOL


def main() -> None:
    """Run the flow run that the environment names, as `python -m prefect.engine` does; argv has its pool."""
    if sys.argv[1:] == [ROUTINE_POOL]:
        stand_back()
    del sys.argv[1:]  # Prefect's engine takes a run's id there.
    with running_flows():
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
