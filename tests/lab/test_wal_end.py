"""Where WAL ends and where it is damaged, in the files of a real server that was killed."""

import os
import re
import subprocess
from types import SimpleNamespace

import pytest

from infra.lab.processes import as_account, own
from tasks.clients import waldump
from tasks.clients.walnames import SEGMENT_SIZE, parse_lsn
from tasks.errors import Permanent

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

BINARIES = "/usr/lib/postgresql/15/bin"
COMMITS = 400
LOOP = "do $$ begin for n in 1..%d loop insert into t values (n); commit; end loop; end $$"


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A server's data directory, as it was left; where its rows began, and their last position."""
    folder = tmp_path_factory.mktemp("wal")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    own(folder)
    data = folder / "data"
    run("initdb", "-D", data, "-A", "trust", "-U", "postgres")
    run(
        "pg_ctl", "-D", data, "-w", "-o", f"-c listen_addresses='' -k {folder}", "start", "-l", folder / "log"
    )
    try:
        sql(folder, "create table t (n int); select pg_switch_wal();")
        began = sql(folder, "select pg_current_wal_insert_lsn()")
        sql(folder, LOOP % COMMITS)
        ended = sql(folder, "select pg_current_wal_insert_lsn()")
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    return SimpleNamespace(data=data, began=began, ended=ended, folder=folder)


def run(name, *arguments):
    argv = [*as_account(), f"{BINARIES}/{name}", *map(str, arguments)]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, check=True, cwd="/").stdout


def sql(folder, statements):
    return run("psql", "-h", folder, "-U", "postgres", "-XqAt", "-c", statements).strip()


@pytest.fixture
def node(killed, monkeypatch):
    """The node as `waldump` sees it, its segment to be spoiled and whole again afterwards."""
    host = SimpleNamespace(address="here")
    plan = SimpleNamespace(
        access=SimpleNamespace(postgres_bin=BINARIES),
        sites={"here": SimpleNamespace(hosts={"db": host})},
    )
    monkeypatch.setattr(
        waldump, "Layout", SimpleNamespace(of=lambda *_: SimpleNamespace(data_dir=killed.data))
    )
    asked = []

    def run_here(_plan, _address, argv, timeout):
        asked.append(" ".join(argv))
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=True).stdout

    monkeypatch.setattr(waldump, "run_on", run_here)
    position = parse_lsn(killed.ended)
    segment = killed.data / "pg_wal" / f"00000001{position >> 32:08X}{(position % 2**32) // SEGMENT_SIZE:08X}"
    whole = segment.read_bytes()
    yield SimpleNamespace(
        plan=plan, segment=segment, end=position % SEGMENT_SIZE, began=killed.began, asked=asked
    )
    segment.write_bytes(whole)


def spoil(node, at, content):
    with node.segment.open("r+b") as file:
        file.seek(at)
        file.write(content)


def commits(node):
    return waldump.commits_after(node.plan, "here", "db", 1, node.began)


def test_all_commits_are_read_up_to_the_end(node):
    assert len(commits(node)) == COMMITS


def test_whatever_lies_behind_the_last_record_is_its_end(node):
    # A header that would be one, but for its link to the record before: what a recycled segment may hold.
    spoil(
        node,
        node.end,
        (64).to_bytes(4, "little") + (700).to_bytes(4, "little") + b"order 61" + b"\0\0" + b"x" * 46,
    )
    assert len(commits(node)) == COMMITS
    spoil(node, node.end, os.urandom(512))
    assert len(commits(node)) == COMMITS


def test_a_record_that_was_torn_by_the_end_is_its_end(node):
    spoil(node, node.end - 16, b"\xff" * 16)
    assert len(commits(node)) == COMMITS - 1


def test_no_segment_is_looked_for_that_is_not_there(node):
    commits(node)
    # pg_waldump would wait for five seconds for it, on every node of a site that comes home.
    starts = [found for asked in node.asked for found in re.findall(r"--start=(\S+) --limit", asked)]
    assert starts
    assert {parse_lsn(start) // SEGMENT_SIZE for start in starts} == {parse_lsn(node.began) // SEGMENT_SIZE}


@pytest.mark.parametrize("content", [b"\0" * 64, b"\xff" * 64])
def test_damage_before_the_end_is_no_end(node, content):
    spoil(node, node.end // 2 & ~7, content)
    with pytest.raises(Permanent, match="cannot be read"):
        commits(node)
