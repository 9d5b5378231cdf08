"""Starting the lab's servers, and waiting until they listen."""

import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from infra.lab.processes import Server, running, start
from tasks.errors import Transient


def start_missing(directory: Path, wanted: Sequence[Server]) -> None:
    """Start those servers of a lab that do not run, and wait until all of them listen.

    Raises:
        Transient: one does not in time.
    """
    alive = running(directory)
    for server in wanted:
        if server.key not in alive:
            start(directory, server)
    listening(wanted)


def listening(wanted: Iterable[Server], timeout: float = 120) -> None:
    """Wait until every server accepts connections.

    Raises:
        Transient: one does not within `timeout` seconds; its log is named.
    """
    deadline = time.monotonic() + timeout
    for server in wanted:
        while server.port and not _accepts(server.address, server.port):
            if time.monotonic() > deadline:
                raise Transient(f"{server.key} does not listen", f"see {server.log}")
            time.sleep(0.05)


def _accepts(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
