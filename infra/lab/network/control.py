"""The link's process seen from outside: found by its argv, never by a number someone wrote down."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.lab.network.state import State
from infra.lab.network.topology import Trouble
from tasks.clients import command
from tasks.errors import Refused, Transient

_MODULE = "infra.lab.network.link"
_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE_SECONDS = 5.0


def links(state: State) -> list[psutil.Process]:
    """The running link processes of one network; more than one after a crash of `up`."""
    argv = ["-m", _MODULE, str(state.directory)]
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-3:] == argv
    ]


def start(state: State) -> None:
    """Start the link, and return once it forwards.

    Raises:
        Permanent: it could not open its devices.
        Transient: it did not start in time.
    """
    # Nothing of the caller's environment: the link outlives it, and what it marks ends with it.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    command.run([sys.executable, "-m", _MODULE, str(state.directory)], timeout=20, cwd=_ROOT, env=environment)


def stop(state: State) -> None:
    """Kill every link of this network, and wait until they are gone.

    Raises:
        Transient: one of them is still there.
    """
    kill_all(lambda: links(state), "the link")


def kill_all(find: Callable[[], list[psutil.Process]], what: str) -> None:
    """Kill what `find` finds until it finds nothing, children born meanwhile included.

    Raises:
        Transient: something is still there after five seconds.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while found := find():
        for process in found:
            _kill(process)
        pids = ", ".join(str(process.pid) for process in found)
        late = Transient(f"{what} does not end", f"processes {pids}", "run `dr lab down` again")
        wait_until(lambda: all(map(_has_ended, found)), late, deadline)


def wait_until(done: Callable[[], bool], late: Transient, deadline: float | None = None) -> None:
    """Return once it is so.

    Args:
        done: whether it is.
        late: what is raised where it was not in time.
        deadline: of the monotonic clock; five seconds from now where None.

    Raises:
        Transient: `late`.
    """
    if deadline is None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise late
        time.sleep(0.005)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process has closed its files; its argv is gone before that."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def trouble(state: State, wanted: Trouble) -> None:
    """Have the link make this trouble, and return once it does.

    Raises:
        Refused: no link runs.
        Transient: the link did not answer within five seconds.
    """
    running = links(state)
    if not running:
        raise Refused("the lab's network is not up", f"no link runs for {state.directory}", "dr lab up")
    state.want(wanted)
    for process in running:
        process.send_signal(signal.SIGHUP)
    late = Transient("the link did not take the trouble", f"see {state.log}", "dr lab up")
    wait_until(lambda: state.applied() == wanted, late)
