"""What a host has: processors, memory, disk, and a clock.

Source: GNU coreutils manual, "df invocation"; proc(5), "meminfo".
"""

import time
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.remote import run_on
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_ASK = """
date +%s.%N
nproc
awk '/^MemTotal:/ {print $2 * 1024}' /proc/meminfo
df -B1 --output=size,avail "$0" | tail -n 1
"""
_WORDS = 5


@dataclass(frozen=True)
class Room:
    """What a database host has.

    Attributes:
        cpus: how many.
        memory: bytes.
        disk: bytes of the filesystem that the database lies on.
        free: bytes of it that are free.
        ahead_s: how much its clock is ahead of ours, in seconds; as much of it as is beyond doubt.
    """

    cpus: int
    memory: int
    disk: int
    free: int
    ahead_s: float


def room_of(plan: Plan, address: str, directory: Path) -> Room:
    """Ask a host for what it has; its disk is the one that the directory lies on.

    Raises:
        Transient: it cannot be reached.
        Permanent: it refused, or its answer cannot be read.
    """
    asked = time.time()
    told = run_on(plan, address, ["sh", "-c", _ASK, str(directory)], timeout=10).split()
    answered = time.time()
    if len(told) != _WORDS:
        raise Permanent(f"{address} did not tell what it has", " ".join(told)[:200])
    clock, cpus, memory, disk, free = told
    # Its clock was read somewhere between: only what lies outside of that is beyond doubt.
    ahead = float(clock)
    ahead_s = max(0.0, ahead - answered) + min(0.0, ahead - asked)
    return Room(cpus=int(cpus), memory=int(float(memory)), disk=int(disk), free=int(free), ahead_s=ahead_s)
