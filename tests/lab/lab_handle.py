"""A running lab as tests handle it: `dr` as a person types it, and what the lab leaves on the machine."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.lab.home import Home
from infra.lab.processes import MARK

DR = os.environ.get("TEST_DR") or str(Path(sys.executable).with_name("dr"))
KINDS = "database", "files", "redis", "configuration", "secrets"
# Other names, other timings, and services that depend on each other.
SECOND_PLAN = Path(__file__).with_name("second_plan.yaml")


@dataclass(frozen=True)
class Lab:
    """A running lab.

    Attributes:
        home: where it lives.
        kind: its network.
    """

    home: Home
    kind: str

    @property
    def plan(self):
        return self.home.plan()

    def dr(self, *arguments, site=None, timeout=150):
        """`dr` in the world, or inside a site's network; its standard output."""
        done = self.attempt(*arguments, site=site, timeout=timeout)
        assert done.returncode == 0, f"dr {' '.join(arguments)}: exit {done.returncode}\n{tail(done)}"
        return done.stdout

    def attempt(self, *arguments, site=None, timeout=150):
        prefix = self.home.network().prefix(site) if site else []
        return run_dr(*arguments, directory=self.home.directory, prefix=prefix, timeout=timeout)

    def back_up(self, *kinds):
        """A point of each of these kinds of asset, or of every kind, at every site."""
        with ThreadPoolExecutor() as pool:
            flows = [f"backup-{kind}" for kind in kinds or KINDS]
            list(pool.map(lambda flow: self.dr("run", flow, timeout=600), flows))
        self.dr("run", "replicate-backups", timeout=600)


def run_dr(*arguments, directory, prefix=(), timeout=150, path=None):
    """`dr` as a person starts it: nothing of this process's environment but the path."""
    environment = {
        "PATH": os.environ["PATH"] if path is None else path,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "DR_LAB": str(directory),
    }
    argv = [*prefix, DR, *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


def tail(done):
    return "\n".join([*done.stdout.splitlines()[-20:], *done.stderr.splitlines()[-20:]])


def environment(process):
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def traces(directory):
    """Everything of a lab that this machine still holds: processes, files, sockets, namespaces, routes."""
    left = [f"process {process.pid}" for process in psutil.process_iter() if _belongs(process, directory)]
    left += [str(path) for path in (directory, *Path("/tmp").glob("seaweedfs-*.sock")) if path.exists()]  # noqa: S108 - hard-coded by the store
    network = Home(directory).namespaces().name
    left += [str(path) for path in Path("/run/netns").glob(f"{network}-*")]
    if shutil.which("ip"):
        routes = subprocess.run(
            ["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
        )
        left += [r for r in routes.stdout.splitlines() if r.startswith("unreachable 10.") or network in r]
    return left


def _belongs(process, directory):
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        below = Path(process.cwd()).is_relative_to(directory)
    except (psutil.Error, OSError):
        return False
    return below or environment(process).get(MARK, "").startswith(f"{directory}:")
