"""What becomes of a run whose process is gone or that is to be cancelled: a pure decision over one look."""

import os
import signal
import socket
from dataclasses import dataclass
from enum import Enum, auto

import psutil
from prefect.client.schemas.objects import StateType

PENDING_GRACE_SECONDS = 60.0
CANCEL_GRACE_SECONDS = 30.0
MAXIMUM_ATTEMPTS = 3
CANCEL_SIGNAL = signal.SIGUSR1


class Verdict(Enum):
    """What the warm runner does about one unfinished run."""

    LEAVE = auto()
    CANCEL = auto()
    KILL = auto()
    CANCELLED = auto()
    AGAIN = auto()
    CRASHED = auto()


@dataclass(frozen=True)
class Attempt:
    """One unfinished run as it was seen.

    Attributes:
        state: PENDING, RUNNING or CANCELLING.
        seconds: how long it has been in that state.
        count: how often the run was started, this attempt included.
        warm: a warm runner of this host started it.
        alive: its process exists, or lies on a host that cannot be seen from here.
    """

    state: StateType
    seconds: float
    count: int
    warm: bool
    alive: bool


def judge(attempt: Attempt) -> Verdict:
    """Decide about an unfinished run.

    A run that died is started again, since every step's result is kept; after three attempts the run itself
    is what kills its process, and a person must look. What a worker started is the worker's to report,
    save a claim that never became a process: it would hold its deployment's only slot for ever.
    """
    if attempt.alive:
        return _stop(attempt) if attempt.warm and attempt.state is StateType.CANCELLING else Verdict.LEAVE
    if attempt.state is StateType.PENDING:
        return Verdict.AGAIN if attempt.seconds > PENDING_GRACE_SECONDS else Verdict.LEAVE
    if not attempt.warm:
        return Verdict.LEAVE
    if attempt.state is StateType.CANCELLING:
        return Verdict.CANCELLED
    return Verdict.AGAIN if attempt.count < MAXIMUM_ATTEMPTS else Verdict.CRASHED


def _stop(attempt: Attempt) -> Verdict:
    return Verdict.CANCEL if attempt.seconds < CANCEL_GRACE_SECONDS else Verdict.KILL


def identity(pid: int) -> str:
    """A process's name that outlives it: host, id, and start time in case the id is used again."""
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def own_pid(name: str | None) -> int | None:
    """The process id in an identity that a warm runner of this host wrote; None for any other name."""
    parts = (name or "").split(":")
    return int(parts[1]) if len(parts) == 3 and parts[0] == socket.gethostname() else None


def is_alive(name: str | None) -> bool:
    """Whether the named process exists; True where it lies on another host, False where none was named.

    Process workers write "host:pid", warm runners an `identity`.
    """
    if name is None:
        return False
    host, pid, *_ = name.split(":")
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and name in {f"{host}:{pid}", identity(process.pid)}
    except psutil.NoSuchProcess:
        return False


def own_identity() -> str:
    """The identity of this process."""
    return identity(os.getpid())
