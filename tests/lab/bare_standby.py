"""A PostgreSQL primary that archives into one directory, and a standby that reads its WAL from another."""

import shlex
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from types import SimpleNamespace

from waiting import until

from infra.lab.processes import as_account, own
from tasks.clients import postgres
from tasks.clients.walnames import SEGMENT_SIZE, Segment, parse_lsn

BINARIES = "/usr/lib/postgresql/15/bin"
PRIMARY, STANDBY, NOBODY, MUTE, COPY = (f"127.88.1.{n}" for n in (1, 2, 3, 4, 5))
MIB = 1024 * 1024


class Pair:
    """As much of a plan as a client of PostgreSQL needs, and two servers.

    Attributes:
        shelf: where the primary archives.
        store: where the standby looks; nothing comes there by itself.
    """

    service = SimpleNamespace(database="postgres")
    access = SimpleNamespace(shell="sh -c")  # noqa: S604 - the name of the setting

    def __init__(self, folder):
        self.shelf, self.store, self.folder = folder / "shelf", folder / "store", folder
        for each in (folder, self.shelf, self.store):
            each.mkdir(exist_ok=True)
            own(each)

    def secret(self, _name):
        return "none"

    def place_of(self, _address):
        return {}

    def sql(self, query, address=PRIMARY):
        with postgres.connected(self, address, timeout=60) as connection:
            return connection.execute(query).fetchone()

    def put_on_shelf(self, segments):
        """Rows in some segments of their own; the last of these segments."""
        for _ in range(segments):
            self.sql("insert into rows select generate_series(1, 100) returning 1")
            name = self.sql("select pg_walfile_name(pg_switch_wal()) as name")["name"]
        return self._archived(Segment.parse(name))

    def end_within_a_record(self):
        """Fill the segment so that a record begins in it and ends in the next one; the segment."""
        begun = self._segment()
        while self._segment() == begun:
            self.sql(f"select pg_logical_emit_message(false, 'fill', repeat('x', {MIB})) as lsn")
        return self._archived(begun)

    def new_timeline(self):
        """What a failover inside the primary's site does to its WAL."""
        data = self.folder / "primary"
        _run(f"touch {data}/standby.signal && {BINARIES}/pg_ctl -w -D {data} -l {data}.log restart")
        _run(f"{BINARIES}/pg_ctl -w -D {data} promote")

    def stop(self, mode):
        """Stop the primary, "fast" or as a crash does: "immediate"; where its last checkpoint begins."""
        data = self.folder / "primary"
        _run(f"{BINARIES}/pg_ctl -w -D {data} -m {mode} stop")
        told = _run(f"{BINARIES}/pg_controldata {data}")
        return parse_lsn(told.partition("Latest checkpoint location:")[2].split()[0])

    def base(self, name):
        """A base backup of the primary, in a folder of its own."""
        folder = self.folder / name
        _run(f"{BINARIES}/pg_basebackup -D {folder} -h {PRIMARY} -U postgres -c fast -X none")
        return folder

    @contextmanager
    def recovered(self, base, lsn):
        """A base backup recovered from the shelf to just before a position, as a server of its own."""
        target = {"recovery_target_lsn": lsn, "recovery_target_inclusive": "off"}
        settings = target | {"recovery_target_action": "promote", "restore_command": f"cp {self.shelf}/%f %p"}
        _run(f"touch {base}/recovery.signal")
        with _server(base, COPY, settings | {"archive_mode": "off"}):
            until(lambda: not self.sql("select pg_is_in_recovery() as busy", COPY)["busy"])
            yield COPY

    def start(self):
        """Start the primary again."""
        data = self.folder / "primary"
        _run(f"{BINARIES}/pg_ctl -w -D {data} -l {data}.log start")

    def _segment(self):
        return Segment.holding(
            1, parse_lsn(self.sql("select pg_current_wal_insert_lsn()::text as lsn")["lsn"])
        )

    def _archived(self, segment):
        """Wait for the primary's archiver."""
        query = "select coalesce(last_archived_wal, '') as name from pg_stat_archiver"
        while self.sql(query)["name"] < segment.name():
            time.sleep(0.1)
        return segment

    def bring(self, *, but=()):
        """Copy what is on the shelf to where the standby looks."""
        for path in self.shelf.iterdir():
            if path.name not in but:
                shutil.copy(path, self.store)
                own(self.store / path.name)

    def rows(self):
        return self.sql("select count(*) as rows from rows", STANDBY)["rows"]


def segment_end(segment):
    return segment.end(SEGMENT_SIZE)


@contextmanager
def running_pair(folder, upstream):
    """A pair whose standby asks an address for its WAL: one that refuses, or that never answers."""
    pair = Pair(folder)
    first, second = folder / "primary", folder / "standby"
    # A stopping primary removes WAL that no slot holds, though a standby is still sent it.
    kept = {"wal_keep_size": "128MB", "autovacuum": "off"}
    archive = kept | {"archive_mode": "on", "archive_command": f"cp %p {pair.shelf}/%f"}
    restore = {
        "restore_command": f"cp {pair.store}/%f %p",
        "primary_conninfo": f"host={upstream} user=postgres",
    }
    _run(f"{BINARIES}/initdb -D {first} -U postgres -A trust -N")
    _run(f"echo host all,replication all 127.0.0.0/8 trust >> {first}/pg_hba.conf")
    with _mute(), _server(first, PRIMARY, archive):
        _psql(PRIMARY, "create table rows (n int)")
        _run(f"{BINARIES}/pg_basebackup -D {second} -h {PRIMARY} -U postgres -c fast -X stream -R")
        with _server(second, STANDBY, restore):
            yield pair


@contextmanager
def _server(data, address, settings):
    settings = {"listen_addresses": address, "unix_socket_directories": "", "fsync": "off", **settings}
    lines = "\n".join(f"{name} = '{value}'" for name, value in settings.items())
    _run(f"echo {shlex.quote(lines)} >> {data}/postgresql.auto.conf")
    _run(f"{BINARIES}/pg_ctl -w -t 60 -D {data} -l {data}.log start")
    try:
        yield
    finally:
        _run(
            f"! {BINARIES}/pg_ctl -D {data} status || {BINARIES}/pg_ctl -w -t 60 -D {data} -m immediate stop"
        )


@contextmanager
def _mute():
    """A server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind((MUTE, 5432))
        server.listen()
        yield


def _psql(address, query):
    _run(f"psql -q -h {address} -U postgres -c {shlex.quote(query)}")


def _run(script):
    argv = [*as_account(), "sh", "-c", script]
    return subprocess.run(argv, check=True, capture_output=True, timeout=120, cwd="/", text=True).stdout
