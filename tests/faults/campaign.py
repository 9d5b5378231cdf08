"""What the campaigns share: a fresh lab, its backup flows by `dr run`, and how they are killed or starved."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.lab.home import Home, program
from infra.lab.processes import running
from infra.lab.traffic import add_rows
from tasks.plan.plan import Plan

COUNT = int(os.environ.get("COUNT", "10"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ENDLESS_S = 600
_ROWS = 100_000

# Each flow with the parameters that make it work; replication before what looks at the copies.
FLOWS: dict[str, tuple[str, ...]] = {
    "backup-database full": ("backup-database", "kind=full"),
    "backup-database incr": ("backup-database", "kind=incr"),
    "backup-files": ("backup-files",),
    "backup-redis": ("backup-redis",),
    "backup-configuration": ("backup-configuration",),
    "backup-secrets": ("backup-secrets",),
    "replicate-backups": ("replicate-backups",),
    "check-wal-archiving": ("check-wal-archiving",),
    "keep-long-term": ("keep-long-term",),
    "expire-backups": ("expire-backups", "dry_run=false"),
    "verify-backups": ("verify-backups",),
}


@dataclass(frozen=True)
class Ended:
    """How a flow ended: its exit code, its last words, its seconds."""

    code: int
    told: str
    seconds: float

    @property
    def clear(self) -> bool:
        """Whether it succeeded, or failed in our own words rather than in a traceback's."""
        return self.code == 0 or (self.code in {1, 2} and "\ndr: " in f"\n{self.told}")


@dataclass
class Campaign:
    """One lab and its random moments."""

    home: Home
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311 - moments, no keys

    @property
    def plan(self) -> Plan:
        """The plan the lab runs."""
        return self.home.plan()

    def dr(self, *arguments: str) -> str:
        """A `dr` command that must succeed; its output."""
        ended = self.wait(self.start(*arguments))
        if ended.code:
            raise AssertionError(f"dr {' '.join(arguments)}: exit {ended.code}\n{ended.told[-3000:]}")
        return ended.told

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """A `dr` command in a session of its own, with nothing of this process's environment."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "DR_LAB": str(self.home.directory),
        }
        argv = [program("dr"), *arguments]
        return subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def start_flow(self, name: str) -> "subprocess.Popen[str]":
        """One of FLOWS, in a process of its own with no Prefect server."""
        flow, *parameters = FLOWS[name]
        return self.start("run", flow, *(word for pair in parameters for word in ("--param", pair)))

    def wait(self, process: "subprocess.Popen[str]", timeout: float = ENDLESS_S) -> Ended:
        """Its end; a flow that does not end is killed and counts as unclear."""
        began = time.monotonic()
        try:
            told, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told, _ = process.communicate()
            return Ended(99, f"{told}\nit did not end within {timeout:g} s", timeout)
        return Ended(process.returncode, told, time.monotonic() - began)

    def flow(self, name: str) -> Ended:
        """One of FLOWS to its end."""
        return self.wait(self.start_flow(name))

    def must(self, name: str) -> Ended:
        """One of FLOWS that must succeed."""
        ended = self.flow(name)
        if ended.code:
            raise AssertionError(f"{name}: exit {ended.code}\n{ended.told[-3000:]}")
        return ended

    def protect(self) -> dict[str, float]:
        """Every flow once, on a database worth it; the seconds that each takes."""
        add_rows(self.plan, self.plan.site_of("primary"), _ROWS)
        return {name: self.must(name).seconds for name in FLOWS}

    def proof(self) -> list[str]:
        """Replication and verification of everything at the end; what of it fails."""
        ends = {name: self.flow(name) for name in ("replicate-backups", "verify-backups")}
        return [f"{name} afterwards: {ended.told[-1500:]}" for name, ended in ends.items() if ended.code]

    def store(self, site: str) -> psutil.Process:
        """The process of a site's object store."""
        [host] = self.plan.sites[site].running("storage")
        return running(self.home.directory)[f"{site}/{host}/storage"]

    def store_root(self, site: str) -> Path:
        """The directory of the host of a site's object store."""
        [host] = self.plan.sites[site].running("storage")
        return self.home.root(site, host)


def asked(variable: str, name: str) -> bool:
    """Whether the environment asks for one of the names: all, or those it lists, separated by commas."""
    return name in os.environ.get(variable, name).split(",")


def kill(process: "subprocess.Popen[str]", *, everything: bool) -> None:
    """SIGKILL: the flow's process alone, or with everything it had started."""
    with suppress(ProcessLookupError):
        if everything:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


@contextmanager
def campaign(network: str = "loopback") -> Iterator[Campaign]:
    """A fresh lab that is taken down again."""
    directory = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
    directory.chmod(0o755)
    chosen = Campaign(Home(directory))
    tell(f"SEED={SEED}, COUNT={COUNT}")
    try:
        chosen.dr("lab", "up", "--network", network)
        yield chosen
    finally:
        chosen.dr("lab", "down")


def tell(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
