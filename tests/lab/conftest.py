"""The embedded lab for tests: real servers, brought up by `dr lab up` and always taken down again."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from bucket_stores import owned, running_stores

from infra.lab.home import Home
from infra.lab.processes import MARK

DR = os.environ.get("TEST_DR") or str(Path(sys.executable).with_name("dr"))
_LOG_LINES = 25
_started: list["Lab"] = []


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


class Labs:
    """At most one lab at a time: two would fight for the processors, and stores name sockets by port."""

    def shared(self, kind):
        """A lab on this network that other tests used before, and left as they found it."""
        return _started[0] if _started and _started[0].kind == kind else self.fresh(kind)

    def fresh(self, kind, plan=None):
        """A lab on this network that nobody used, of another plan than the default one where given."""
        self.end()
        # Short, because sockets lie in it.
        directory = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
        directory.chmod(0o755)
        lab = Lab(Home(directory), kind)
        _started.append(lab)
        lab.dr("lab", "up", "--network", kind, *(("--plan", str(plan)) if plan else ()), timeout=600)
        return lab

    def end(self):
        while _started:
            lab = _started.pop()
            lab.dr("lab", "down")
            assert traces(lab.home.directory) == []


@pytest.fixture(scope="session")
def labs() -> Iterator[Labs]:
    if others := _other_labs():
        pytest.fail(f"another lab is up: {', '.join(others)}; end it with `dr lab down`")
    labs = Labs()
    try:
        yield labs
    finally:
        labs.end()


def _other_labs():
    marks = {_environment(process).get(MARK, "").partition(":")[0] for process in psutil.process_iter()}
    return sorted(marks - {""})


def _environment(process):
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
    return below or _environment(process).get(MARK, "").startswith(f"{directory}:")


@pytest.fixture(scope="module")
def storage_plan(tmp_path_factory):
    """Three stores of their own, without a lab, and the plan that names them."""
    with running_stores(tmp_path_factory.mktemp("s3")) as plan:
        yield plan


@pytest.fixture
def north(storage_plan):
    return owned(storage_plan, "north")


@pytest.fixture
def south(storage_plan):
    return owned(storage_plan, "south")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for lab in _started:
            report.sections.append((f"the servers of {lab.home.directory}", _logs(lab.home.directory)))
    return report


def _logs(directory):
    told = []
    for log in sorted(directory.glob("**/var/log/*.log")):
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        told += [f"--- {log.relative_to(directory)}", *(line[:300] for line in lines)]
    return "\n".join(told)
