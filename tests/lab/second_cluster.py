"""A second PostgreSQL cluster on the primary's host that archives into the same repository."""

import shlex
import time
from contextlib import contextmanager, suppress

from wal_planting import ROOT

from tasks.clients.remote import run_on
from tasks.errors import DrError

_PORT = 5999


class SecondCluster:
    """What is planted here is stopped and removed again, with what it archived."""

    def __init__(self, ground):
        self.ground = ground
        self.data = ground.layout.root / "var/lib/postgresql/second"

    @contextmanager
    def restored_copy(self, *, promoted):
        """A copy of the primary on the same host, with archive_mode left on; promoted, or simply started."""
        data = self.data
        binaries = self.ground.plan.access.postgres_bin
        push = f"{self.ground.layout.pgbackrest} --pg1-path={data} archive-push %p"
        options = self._second_options(data, push)
        end = "standby.signal" if promoted else "none.signal"
        password = self.ground.plan.secret("database_replication")
        script = (
            f"rm -rf {data}; {binaries}/pg_basebackup -D {data} -h {self.ground.node.host} -U replicator "
            f"-c fast -X stream && touch {data}/{end} && echo > {data}/postgresql.auto.conf "
            f"&& echo > {data}/postgresql.conf "
            f"&& {binaries}/pg_ctl -w -D {data} -l {data}/log -o {shlex.quote(options)} start"
        )
        with self._second(data):
            run_on(
                self.ground.plan,
                self.ground.node.host,
                ["sh", "-c", script],
                timeout=90,
                secrets={"PGPASSWORD": password},
            )
            if promoted:
                self.ground.on_primary(f"{binaries}/pg_ctl -w -D {data} promote")
            for _ in range(2):
                self._second_sql(data, "create table if not exists foreign_rows (); select pg_switch_wal()")
                time.sleep(0.5)
            self._second_archived(data)
            yield

    @contextmanager
    def another_cluster(self):
        """A new cluster that takes the stanza over: stanza-upgrade, then archives beside ours."""
        data = self.data
        binaries = self.ground.plan.access.postgres_bin
        backrest = (
            f"{self.ground.layout.pgbackrest} --pg1-path={data} --pg1-socket-path={data} --pg1-port={_PORT}"
        )
        options = self._second_options(data, f"{backrest} archive-push %p")
        script = (
            f"rm -rf {data}; {binaries}/initdb -D {data} -U postgres --auth-local=peer -N "
            f"&& {backrest} --no-online stanza-upgrade "
            f"&& {binaries}/pg_ctl -w -D {data} -l {data}/log -o {shlex.quote(options)} start"
        )
        with self._second(data):
            self.ground.on_primary(script, timeout=90)
            self._second_sql(data, "create table foreign_rows (); select pg_switch_wal()")
            self._second_archived(data)
            yield

    def _second_options(self, data, push):
        # The directory is the copy's own: pgBackRest compares it with pg1-path.
        settings = {
            "listen_addresses": "",
            "port": _PORT,
            "unix_socket_directories": data,
            "archive_mode": "on",
            "archive_command": push,
            "hba_file": data / "pg_hba.conf",
            "ident_file": data / "pg_ident.conf",
            "wal_level": "replica",
            "max_connections": 100,
            "logging_collector": "off",
        }
        return " ".join(f"-c {name}={shlex.quote(str(value))}" for name, value in settings.items())

    @contextmanager
    def _second(self, data):
        bucket, kinds = self.ground.buckets[self.ground.active], ("archive", "backup")
        names = [f"pgbackrest/{kind}/{self.ground.stanza}/{kind}.info" for kind in kinds]
        # What is planted stays at one site: no other test of this lab is to meet it.
        with self.ground.pulls_held():
            infos = [bucket.read(name + end) for name in names for end in ("", ".copy")]
            before = {each.key for each in bucket.list(ROOT)}
            try:
                yield
            finally:
                with suppress(DrError):
                    binaries = self.ground.plan.access.postgres_bin
                    self.ground.on_primary(f"{binaries}/pg_ctl -m immediate -w -D {data} stop")
                self.ground.on_primary(f"rm -rf {data}")
                for entry, content in infos:
                    bucket.put(entry.key, content)
                for key in self._strange(before):
                    bucket.delete(key)

    def _strange(self, before):
        """What came since and is not the primary's."""
        new = {each.key for each in self.ground.buckets[self.ground.active].list(ROOT)} - before
        pushed, mine = self._pushed(), f"/15-1/{self.ground.node.timeline:08X}"
        return {key for key in new if mine not in key or key.rpartition("/")[2][:24] not in pushed}

    def _pushed(self):
        rows = self.ground.sql(
            "select left(name, 24) as name from pg_ls_archive_statusdir() where name like '%.done'"
        )
        return {row["name"] for row in rows.fetchall()}

    def _second_sql(self, data, query):
        self.ground.on_primary(f"psql -qAt -h {data} -p {_PORT} -U postgres -c {shlex.quote(query)} postgres")

    def _second_archived(self, data):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            waiting = self.ground.on_primary(f"ls {data}/pg_wal/archive_status | grep -c ready || true")
            if int(waiting) == 0:
                return
            time.sleep(0.3)
