"""Flows that leave a line for every start: "seconds pid niceness"."""

import os
import time
from pathlib import Path

from prefect import flow


@flow
def check_wal_archiving(path: str = os.devnull, seconds: float = 0.0) -> None:
    """Named as in the plan, whose schedule it is given."""
    with Path(path).open("a", encoding="ascii") as file:
        file.write(f"{time.time()} {os.getpid()} {os.nice(0)}\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)


@flow
def gone() -> None:
    """Registered once, and no longer ours afterwards."""
