"""The lab's processes: started once, found again without any record, and killed to the last one.

A server is found by a mark in its environment; what it forks (a PostgreSQL backend overwrites its
environment) by its working directory, which lies below the server's host. So nothing has to be
remembered, and a `dr lab up` that was killed leaves nothing that the next command cannot find.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.errors import Permanent

MARK = "DR_LAB_SERVER"
_ACCOUNT = "postgres"


@dataclass(frozen=True)
class Server:
    """One long-running program of the lab."""

    key: str
    """site/host/program"""
    argv: Sequence[str]
    root: Path
    address: str
    port: int | None
    """where it listens; None for a program that does not"""
    env: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    as_root: bool = False

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.root / "var/log" / f"{self.key.rsplit('/', 1)[-1]}.log"


def as_account() -> list[str]:
    """What runs a program under the unprivileged account of the database servers."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--init-groups", "--"]


def own(path: Path) -> None:
    """Give a file or directory to the account of the database servers."""
    if os.geteuid() == 0:
        shutil.chown(path, _ACCOUNT, _ACCOUNT)


def start(lab: Path, server: Server) -> None:
    """Start a server in a session of its own; its environment is only what it needs."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(server.root),
        "TMPDIR": str(_temporary(lab)),
        MARK: f"{lab}:{server.key}",
        **server.env,
    }
    account = [] if server.as_root else as_account()
    server.log.parent.mkdir(parents=True, exist_ok=True)
    with server.log.open("ab") as log:
        subprocess.Popen(
            [*server.prefix, *account, *server.argv],
            cwd=server.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _temporary(lab: Path) -> Path:
    """Where servers put what they would leave in /tmp: multiprocessing's sockets, Prefect's storage."""
    folder = lab / "tmp"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o1777)
    return folder


def running(lab: Path) -> dict[str, psutil.Process]:
    """The servers that run now, by key: the oldest process of each that carries its mark."""
    found: dict[str, psutil.Process] = {}
    for process, mark in _marked(lab):
        key = mark.removeprefix(f"{lab}:")
        known = found.get(key)
        with suppress(psutil.NoSuchProcess):
            if key.endswith("/patroni") and process.name() == "postgres":
                continue  # what Patroni started may outlive it
            if known is None or process.create_time() < known.create_time():
                found[key] = process
    return found


def kill_all(lab: Path, below: Path | None, prefix: str = "", *, timeout: float = 20) -> int:
    """SIGKILL every process of a part of the lab, children included, until none is left.

    Args:
        lab: the lab's directory.
        below: processes with a working directory below this one belong to the part; none where None.
        prefix: servers whose key begins with this belong to the part.
        timeout: seconds until giving up.

    Returns:
        how many were killed.

    Raises:
        Permanent: something outlived SIGKILL.
    """
    deadline, killed = time.monotonic() + timeout, 0
    while victims := list(_belonging(lab, below, prefix)):
        if time.monotonic() > deadline:
            raise Permanent("processes outlive SIGKILL", ", ".join(str(v.pid) for v in victims))
        for victim in victims:
            killed += _kill(victim)
        psutil.wait_procs(victims, timeout=0.5)
    return killed


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """A process and its children take connections and answer nothing; who ends meanwhile is not missed."""
    family = [process, *process.children(recursive=True)]
    for each in family:
        each.suspend()
    try:
        yield
    finally:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.resume()


def _kill(process: psutil.Process) -> int:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return 0
    return 1


def _belonging(lab: Path, below: Path | None, prefix: str) -> Iterator[psutil.Process]:
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in spared or _is_dead(process):
            continue
        mark = _mark(process) or ""
        if mark.startswith(f"{lab}:{prefix}") or (below and _works_below(process, below)):
            yield process


def _marked(lab: Path) -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        mark = None if _is_dead(process) else _mark(process)
        if mark and mark.startswith(f"{lab}:"):
            yield process, mark


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _works_below(process: psutil.Process, folder: Path) -> bool:
    try:
        cwd = process.cwd()
    except (psutil.Error, OSError):
        return False
    return cwd == str(folder) or cwd.startswith(f"{folder}/")
