"""Prefect's engine, as the workers start it where the plan wants logs or traces: they begin first."""

import runpy

from deployments.telemetry import running_flows


def main() -> None:
    """Run the flow run that the environment names, as `python -m prefect.engine` does."""
    with running_flows():
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
