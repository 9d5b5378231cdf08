"""Where drills restore databases: directories beside the live ones that bear the drill's name.

A drill that runs says so by a file beside each of them, written anew again and again. Where that has stopped,
whoever made the directory is dead, and it is removed with the server on it.
"""

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.layout import Layout
from tasks.clients.parallel import ask_all
from tasks.clients.private import PrivateServer
from tasks.clients.remote import run_on
from tasks.plan.plan import Plan

PREFIX = "dr-drill-"
_ALIVE = ".alive"
_BEAT_S = 15.0
_DEAD_MIN = 1.5
_ASK_S = 20.0
_TOUCH = "[ -d {folder} ] && : >{folder}/{name}{alive}"
_LIVES = "find {folder} -maxdepth 1 -name {name}{alive} -mmin -{minutes}"
_FORGET = "rm -f {folder}/{name}{alive}"
MARK = "DR_DRILL"
"""What every process of a drill on a host has in its environment: the drill's id."""
ENDED = """
for each in /proc/[0-9]*/environ; do
    pid=${{each#/proc/}} && pid=${{pid%/environ}}
    [ "$pid" = $$ ] || ! grep -qsz "^DR_DRILL={name}$" "$each" || kill -9 "$pid" 2>/dev/null || true
done
"""
"""A shell script that ends a drill's processes on the host that it runs on."""
_LIST = """
cd {folder} 2>/dev/null || exit 0
for each in {prefix}*; do
    case $each in *{alive}) continue ;; esac
    [ -e "$each" ] || continue
    [ -n "$(find "$each{alive}" -mmin -{minutes} 2>/dev/null)" ] || printf '%s\\n' "$each"
done
find . -maxdepth 1 -name '{prefix}*{alive}' -mmin +{minutes} -delete
"""


@dataclass(frozen=True)
class Ground:
    """A host for one drill.

    Attributes:
        plan: the plan.
        site: the host's site.
        host: a database host.
        drill: the drill's id, which begins with PREFIX.
    """

    plan: Plan
    site: str
    host: str
    drill: str

    @property
    def directory(self) -> Path:
        """Where it restores to, one copy after the other."""
        return self.folder / self.drill

    @property
    def folder(self) -> Path:
        """What holds the live data directory too."""
        return Layout.of(self.plan, self.site, self.host).data_dir.parent

    @property
    def server(self) -> PrivateServer:
        """The private server on the copy."""
        return PrivateServer(self.plan, self.site, self.host, self.directory)

    def beat(self) -> None:
        """Say that the drill lives.

        Raises:
            Transient, Permanent: see `run_on`.
        """
        self._shell(_TOUCH)

    def forget(self) -> None:
        """It is over here.

        Raises:
            Transient, Permanent: see `run_on`.
        """
        self._shell(_FORGET)

    def _shell(self, script: str) -> None:
        words = {"folder": shlex.quote(str(self.folder)), "name": self.drill, "alive": _ALIVE}
        _ask(self.plan, self.site, self.host, script.format(**words))


@contextmanager
def alive(grounds: list[Ground]) -> Iterator[None]:
    """The drill lives on these hosts, while the block runs; on those that answer.

    Args:
        grounds: of one drill.
    """
    over = threading.Event()

    def beat() -> None:
        while True:
            # At once: the hosts of a dead site must not keep the others silent; each is asked again later.
            ask_all({ground.host: ground.beat for ground in grounds}, _ASK_S)
            if over.wait(_BEAT_S):
                break

    thread = threading.Thread(target=beat, name="drill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_ASK_S)
        ask_all({ground.host: ground.forget for ground in grounds}, _ASK_S)


def leftovers(plan: Plan, site: str, host: str) -> list[str]:
    """The directories of drills that are dead, on one host.

    Raises:
        Transient: the host cannot be reached.
        Permanent: it cannot be told.
    """
    folder = Layout.of(plan, site, host).data_dir.parent
    words = {"folder": shlex.quote(str(folder)), "prefix": PREFIX, "alive": _ALIVE, "minutes": _DEAD_MIN}
    return _ask(plan, site, host, _LIST.format(**words)).split()


def lives(plan: Plan, site: str, host: str, name: str) -> bool:
    """Whether a drill has said on a host that it lives, a moment ago.

    Raises:
        Transient: the host cannot be reached.
        Permanent: it cannot be told.
    """
    folder = Layout.of(plan, site, host).data_dir.parent
    words = {"folder": shlex.quote(str(folder)), "name": name, "alive": _ALIVE, "minutes": _DEAD_MIN}
    return bool(_ask(plan, site, host, _LIVES.format(**words)).strip())


def remove(plan: Plan, site: str, host: str, name: str) -> None:
    """End the server on one of them, and whatever else its drill started there, and remove it.

    Raises:
        Transient: the host cannot be reached.
        Permanent: it cannot be removed.
    """
    _ask(plan, site, host, ENDED.format(name=shlex.quote(name)))
    Ground(plan, site, host, name).server.stop(remove=True)


def _ask(plan: Plan, site: str, host: str, script: str) -> str:
    address = str(plan.sites[site].hosts[host].address)
    return run_on(plan, address, ["sh", "-c", script], timeout=_ASK_S)
