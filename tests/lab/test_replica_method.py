"""Patroni's replica method against real PostgreSQL and pgBackRest: two servers, a fork, one repository.

The repository holds what leads astray: the old primary archived two segments behind the fork.
"""

import re
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from waiting import until

from infra.lab.processes import as_account, own
from infra.replicas import from_repository
from tasks.clients.rebuild import RESTORED, way_of

# Two databases are made, on a machine that may do much else.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

BINARIES = Path("/usr/lib/postgresql/15/bin")
CONFIG = """\
[global]
repo1-path={folder}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=only-for-this-test
repo1-retention-full=9
repo1-bundle=y
compress-type=zst
start-fast=y
lock-path={data}.lock
log-level-file=off
[naas]
pg1-path={data}
pg1-socket-path={folder}
pg1-port={port}
"""
SETTINGS = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
wal_log_hints = on
fsync = off
archive_mode = on
archive_command = '{pgbackrest} archive-push %p'
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Node:
    folder: Path
    name: str
    port: int

    @property
    def data(self):
        return self.folder / self.name

    @property
    def pgbackrest(self):
        return f"pgbackrest --config={self.folder}/{self.name}.conf --stanza=naas"

    def configure(self):
        words = {"folder": self.folder, "data": self.data, "port": self.port}
        path = self.folder / f"{self.name}.conf"
        path.write_text(CONFIG.format(**words))
        own(path)
        return SETTINGS.format(pgbackrest=self.pgbackrest, **words)

    def run(self, *argv, check=True):
        done = subprocess.run(
            [*as_account(), *map(str, argv)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def control(self, *words):
        # Its log keeps a pipe open; nothing is to wait for that.
        self.run(
            "sh", "-c", f"{BINARIES}/pg_ctl -w -D {self.data} -l {self.data}.log {' '.join(words)} >/dev/null"
        )

    def sql(self, text):
        argv = [BINARIES / "psql", "-XAtq", "-h", self.folder, "-p", self.port, "-U", "postgres"]
        return self.run(*argv, "-v", "ON_ERROR_STOP=1", "-c", text, "postgres").stdout.strip()

    def follow(self, other):
        """What Patroni writes once the method has made the directory."""
        line = f"primary_conninfo = 'host=127.0.0.1 port={other.port} user=postgres'\n"
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(self.configure() + line)
        self.control("start")

    def remade_from(self, other, *, patience_s=0):
        """What the method says of making this node a replica of another."""
        call = f"import sys; sys.path.insert(0, {str(Path(from_repository.__file__).parent)!r})\n"
        call += f"from from_repository import main\nsys.exit(main(sys.argv[1:], patience_s={patience_s}))"
        words = ["--psql", BINARIES / "psql", "--pgbackrest", self.pgbackrest, f"--datadir={self.data}"]
        given = f"--connstring=user=postgres host=127.0.0.1 port={other.port} dbname=postgres"
        return self.run("/usr/bin/python3", "-c", call, *words, "--keep_data=True", given, check=False)

    def label(self):
        return (self.data / "backup_label.old").read_text()


@pytest.fixture(scope="module")
def forked():
    """The old primary, stopped behind a fork, and the new one, which archived its turn there."""
    folder = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
    own(folder)
    old, new = Node(folder, "old", free_port()), Node(folder, "new", free_port())
    try:
        settings = old.configure()
        old.run(BINARIES / "initdb", "-N", "-k", "-A", "trust", "-U", "postgres", "-D", old.data)
        with (old.data / "postgresql.conf").open("a") as file:
            file.write(settings)
        old.control("start")
        old.run(*old.pgbackrest.split(), "stanza-create")
        old.run(*old.pgbackrest.split(), "backup")
        new.configure()
        assert new.remade_from(old).returncode == 0
        new.follow(old)
        old.sql("create table kept as select generate_series(1, 1000)")
        until(lambda: new.sql("select to_regclass('kept') is not null") == "t")
        new.control("promote")
        new.sql("create table after_the_fork (); select pg_switch_wal()")
        for number in range(2):
            old.sql(f"create table diverged_{number} (); select pg_switch_wal()")
        until(lambda: archived(folder, "000000020000") and len(archived(folder, "000000010000")) > 3)
        old.control("stop")
        yield old, new
    finally:
        for node in (old, new):
            node.run(BINARIES / "pg_ctl", "-D", node.data, "-m", "immediate", "stop", check=False)
        shutil.rmtree(folder)


def archived(folder, begins):
    return sorted((folder / "repository/archive").glob(f"naas/*/**/{begins}*"))


@pytest.mark.parametrize("lost", ["00000002.history", "000000020000"])
def test_without_a_turn_in_the_repository_nothing_is_restored(forked, lost):
    old, new = forked
    path = next(each for each in archived(old.folder, lost) if each.is_file())
    path.rename(old.folder / "lost")
    before = sorted(old.data.rglob("*"))
    try:
        done = old.remade_from(new)
    finally:
        (old.folder / "lost").rename(path)
    assert done.returncode == 1
    assert re.search("history of timeline 2|where timeline 2 begins", done.stderr)
    assert sorted(old.data.rglob("*")) == before


def test_a_node_behind_the_fork_is_made_anew_and_follows(forked):
    old, new = forked
    assert old.remade_from(new).returncode == 0
    old.follow(new)
    until(lambda: old.sql("select to_regclass('after_the_fork') is not null") == "t")
    assert old.sql("select pg_is_in_recovery(), count(*), to_regclass('diverged_0') from kept") == "t|1000|"
    assert way_of("", old.label()) == RESTORED
    new.sql("create table later ()")
    until(lambda: old.sql("select to_regclass('later') is not null") == "t")
