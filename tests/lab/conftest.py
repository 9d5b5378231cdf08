"""The embedded lab for tests: real servers, brought up by `dr lab up` and always taken down again."""

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from bucket_stores import owned, running_stores
from lab_handle import Lab, environment, traces

from infra.lab.home import DEFAULT_PLAN, Home
from infra.lab.processes import MARK

_PLAN = Path(os.environ.get("TEST_PLAN") or DEFAULT_PLAN).resolve()
_LOG_LINES = 25
_started: list[Lab] = []


class Labs:
    """At most one lab at a time: two would fight for the processors, and stores name sockets by port."""

    def __init__(self):
        self._shared = None

    def shared(self, kind="loopback"):
        """A lab on this network whose other users leave it as they find it."""
        if not self._shared or self._shared.kind != kind:
            self._shared = self.fresh(kind)
        return self._shared

    def fresh(self, kind, plan=_PLAN):
        """A lab on this network that nobody used, nor will once its module has ended."""
        self.end()
        # Short, because sockets lie in it.
        directory = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
        directory.chmod(0o755)
        lab = Lab(Home(directory), kind)
        _started.append(lab)
        lab.dr("lab", "up", "--network", kind, "--plan", str(plan), timeout=600)
        return lab

    def end(self):
        self._shared = None
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


@pytest.fixture(scope="session")
def shared_lab(labs):
    """Brings up the lab that tests share, unless it is up."""
    return labs.shared


def pytest_collection_modifyitems(items):
    """Modules that need no lab run first, then those that share one, so that it comes up once."""
    fixtures = defaultdict(set)
    for item in items:
        fixtures[item.path].update(item.fixturenames)
    items.sort(key=lambda item: ("labs" in fixtures[item.path], "shared_lab" not in fixtures[item.path]))


def _other_labs():
    marks = {environment(process).get(MARK, "").partition(":")[0] for process in psutil.process_iter()}
    return sorted(marks - {""})


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
