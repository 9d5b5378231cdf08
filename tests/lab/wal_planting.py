"""Faults of WAL archiving planted on a running lab, each healed again, and the check that must find them."""

import json
import os
import shlex
import signal
import time
from contextlib import contextmanager, suppress

import psutil
from psycopg import sql

from flows.check_wal_archiving import check_wal_archiving
from infra.lab import processes
from tasks.clients import archiver, copies, patroni, postgres
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.remote import run_on
from tasks.errors import DrError, Permanent
from tasks.wal_report import last_numbers

ROOT = "pgbackrest/archive"
SECOND_PORT = 5999


class Ground:
    """A running lab, with everything that is planted in it."""

    def __init__(self, lab):
        self.lab = lab
        self.plan = lab.plan
        self.stanza = self.plan.postgresql_ha.cluster_name
        self.active = self.plan.site_of("primary")
        self.node = patroni.leader(self.plan, self.active)
        self.layout = Layout.of(self.plan, self.active, self.node.name)
        self.buckets = {site: Bucket.owned(self.plan, site) for site in self.plan.sites}

    def check(self, *, switch=False):
        """Run the flow; every finding that is not ok, as {(where, name): severity}."""
        os.environ["DR_PLAN"] = str(self.lab.home.plan_file)
        before = last_numbers(self.plan)
        try:
            check_wal_archiving(switch=switch)
            raised = False
        except Permanent:
            raised = True
        numbers = last_numbers(self.plan)
        assert before is None or numbers.at > before.at
        seen = {
            (where, name): severity
            for where, findings in numbers.findings.items()
            for name, severity in findings.items()
            if severity != "ok"
        }
        assert raised == any(each in {"critical", "unknown"} for each in seen.values()), seen
        return seen

    def green(self, seconds=60):
        """Wait until nothing is found any more."""
        deadline = time.monotonic() + seconds
        while (seen := self.check()) and time.monotonic() < deadline:
            time.sleep(1)
        assert seen == {}

    def sql(self, query):
        with postgres.connected(self.plan, self.node.host) as connection:
            return connection.execute(query)

    def on_primary(self, script, timeout=60):
        return run_on(self.plan, self.node.host, ["sh", "-c", script], timeout=timeout)

    def segments(self, site=None):
        """The whole segments of a site's archive, oldest first."""
        bucket = self.buckets[site or self.active]
        listed = bucket.list(f"{ROOT}/{self.stanza}/15-1")
        return sorted((each for each in listed if "-" in each.key.rpartition("/")[2]), key=lambda e: e.key)

    def everywhere(self):
        """The newest segment that every site has: a pull would copy a newer one with what is done to it."""
        others = [{(each.key, each.etag) for each in self.segments(site)} for site in self.plan.sites]
        return max(
            (each for each in self.segments() if all((each.key, each.etag) in o for o in others)),
            key=lambda each: each.key,
        )

    @contextmanager
    def archive_command(self, command):
        """Another archive_command, as somebody's ALTER SYSTEM sets it; then what was lost is stored."""
        text = sql.SQL("alter system set archive_command = {}").format(sql.Literal(command))
        self._reload(text)
        try:
            yield
        finally:
            self._reload(sql.SQL("alter system reset archive_command"))
            self.store_missing()

    def _reload(self, statement):
        with postgres.connected(self.plan, self.node.host) as connection:
            connection.execute(statement)
            connection.execute("select pg_reload_conf()")
        time.sleep(0.3)

    def store_missing(self):
        """Store by hand what the archiver called archived and is not there: from a copy, or from pg_wal."""
        with postgres.connected(self.plan, self.node.host) as connection:
            done = connection.execute(
                "select left(name, -5) as name from pg_ls_archive_statusdir() where name like '%.done'"
            ).fetchall()
        names = {
            each.key.rpartition("/")[2].partition("-")[0] for each in self.buckets[self.active].list(ROOT)
        }
        elsewhere = {
            each.key.rpartition("/")[2][:24]: each for each in self.segments(self.plan.site_of("dr"))
        }
        for name in sorted(row["name"] for row in done):
            if name in names or len(name) != 24:
                continue
            if name in elsewhere:
                entry, data = self.buckets[self.plan.site_of("dr")].read(elsewhere[name].key)
                copies.put_copy(self.buckets[self.active], entry, data)
            else:
                self.on_primary(f"{self.layout.pgbackrest} archive-push {self.layout.data_dir}/pg_wal/{name}")

    @contextmanager
    def object_lost(self, entry):
        """One object deleted from the active site's bucket."""
        bucket = self.buckets[self.active]
        kept, data = bucket.read(entry.key)
        bucket.delete(entry.key)
        try:
            yield
        finally:
            copies.put_copy(bucket, kept, data)

    @contextmanager
    def object_truncated(self, entry, lost):
        """One object that lacks its last bytes."""
        bucket = self.buckets[self.active]
        kept, data = bucket.read(entry.key)
        bucket.put(entry.key, data[:-lost])
        try:
            yield
        finally:
            copies.put_copy(bucket, kept, data)

    @contextmanager
    def hanging_archiver(self):
        """An archive_command that never ends: nothing fails, nothing is archived."""
        with self.archive_command("sleep 3000 #%p"):
            try:
                yield
            finally:
                self._reload(sql.SQL("alter system reset archive_command"))
                self._end_hanging()
        deadline = time.monotonic() + 20
        while archiver.primary_row(self.plan, self.node.host)["waiting"] and time.monotonic() < deadline:
            time.sleep(0.2)

    def _end_hanging(self):
        row = self.sql("select pid from pg_stat_activity where backend_type = 'archiver'").fetchone()
        for child in psutil.Process(row["pid"]).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.terminate()

    @contextmanager
    def wrong_bucket(self, *, in_place):
        """The primary archives into another site's bucket: by its configuration, or by archive_command."""
        wrong = self.plan.site_of("dr")
        folder, other = self.layout.root / "etc/pgbackrest", self.layout.root / "etc/pgbackrest-wrong"
        storage = self.plan.sites[wrong].storage
        endpoint, _, port = storage.endpoint.removeprefix("https://").partition(":")
        keys = self.plan.credentials(storage.owner)
        replaced = {
            "repo1-s3-bucket": storage.bucket,
            "repo1-s3-endpoint": endpoint,
            "repo1-storage-port": port,
            "repo1-s3-region": wrong,
            "repo1-s3-key": keys.access_key,
            "repo1-s3-key-secret": keys.secret_key,
        }
        edits = "\n".join(f"s|^{name}=.*|{name}={value}|" for name, value in replaced.items())
        files = f"{other}/pgbackrest.conf {other}/conf.d/*.conf"
        script = f"rm -rf {other}; cp -a {folder} {other} && sed -i -f - {files}"
        run_on(self.plan, self.node.host, ["sh", "-c", script], timeout=20, stdin=edits)
        command = self.layout.pgbackrest.replace(str(folder), str(other)) + " archive-push %p"
        try:
            if in_place:
                with self._swapped(folder, other):
                    yield
            else:
                with self.archive_command(command):
                    yield
        finally:
            self.store_missing()
            self.on_primary(f"rm -rf {other}")

    @contextmanager
    def _swapped(self, folder, other):
        self.on_primary(f"mv {folder} {folder}.right && cp -a {other} {folder}")
        try:
            yield
        finally:
            self.on_primary(f"rm -rf {folder} && mv {folder}.right {folder}")

    @contextmanager
    def store_stopped(self, site):
        """A site's store that accepts connections and answers nothing."""
        host = next(iter(self.plan.sites[site].running("storage")))
        process = processes.running(self.lab.home.directory)[f"{site}/{host}/storage"]
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for each in family:
                each.send_signal(signal.SIGCONT)

    @contextmanager
    def store_killed(self, site):
        """A site's store that is gone; `dr lab up` starts it again."""
        host = next(iter(self.plan.sites[site].running("storage")))
        processes.running(self.lab.home.directory)[f"{site}/{host}/storage"].kill()
        try:
            yield
        finally:
            self.lab.dr("lab", "up")

    @contextmanager
    def restored_copy(self, *, promoted):
        """A copy of the primary on the same host, with archive_mode left on; promoted, or simply started."""
        data = self.layout.root / "var/lib/postgresql/second"
        binaries = self.plan.access.postgres_bin
        push = f"{self.layout.pgbackrest} --pg1-path={data} archive-push %p"
        options = self._second_options(data, push)
        end = "standby.signal" if promoted else "none.signal"
        password = self.plan.secret("database_replication")
        script = (
            f"rm -rf {data}; {binaries}/pg_basebackup -D {data} -h {self.node.host} -U replicator "
            f"-c fast -X stream && touch {data}/{end} && echo > {data}/postgresql.auto.conf "
            f"&& echo > {data}/postgresql.conf "
            f"&& {binaries}/pg_ctl -w -D {data} -l {data}/log -o {shlex.quote(options)} start"
        )
        with self._second(data):
            run_on(
                self.plan, self.node.host, ["sh", "-c", script], timeout=90, secrets={"PGPASSWORD": password}
            )
            if promoted:
                self.on_primary(f"{binaries}/pg_ctl -w -D {data} promote")
            for _ in range(2):
                self._second_sql(data, "create table if not exists foreign_rows (); select pg_switch_wal()")
                time.sleep(0.5)
            self._second_archived(data)
            yield

    @contextmanager
    def another_cluster(self):
        """A new cluster that takes the stanza over: stanza-upgrade, then archives beside ours."""
        data = self.layout.root / "var/lib/postgresql/second"
        binaries = self.plan.access.postgres_bin
        backrest = (
            f"{self.layout.pgbackrest} --pg1-path={data} --pg1-socket-path={data} --pg1-port={SECOND_PORT}"
        )
        options = self._second_options(data, f"{backrest} archive-push %p")
        names = (f"pgbackrest/{kind}/{self.stanza}/{kind}.info" for kind in ("archive", "backup"))
        infos = [self.buckets[self.active].read(name + end) for name in names for end in ("", ".copy")]
        script = (
            f"rm -rf {data}; {binaries}/initdb -D {data} -U postgres --auth-local=peer -N "
            f"&& {backrest} --no-online stanza-upgrade "
            f"&& {binaries}/pg_ctl -w -D {data} -l {data}/log -o {shlex.quote(options)} start"
        )
        with self._second(data):
            self.on_primary(script, timeout=90)
            self._second_sql(data, "create table foreign_rows (); select pg_switch_wal()")
            self._second_archived(data)
            yield
        for entry, content in infos:
            self.buckets[self.active].put(entry.key, content)
        self.forget(lambda key: "/15-2/" in key)

    def _second_options(self, data, push):
        # The directory is the copy's own: pgBackRest compares it with pg1-path.
        settings = {
            "listen_addresses": "",
            "port": SECOND_PORT,
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
        before = {each.key for each in self.buckets[self.active].list(ROOT)}
        mine = self.node.timeline
        try:
            yield
        finally:
            with suppress(DrError):
                self.on_primary(f"{self.plan.access.postgres_bin}/pg_ctl -m immediate -w -D {data} stop")
            self.on_primary(f"rm -rf {data}")
            strange = self._strange(before, mine)
            self.forget(lambda key: key in strange)

    def _strange(self, before, mine):
        """What came since and is not the primary's."""
        current = archiver.primary_row(self.plan, self.node.host)
        new = {each.key for each in self.buckets[self.active].list(ROOT)} - before
        pushed = self._pushed()
        return {
            key
            for key in new
            if f"/{mine:08X}" not in key or (key.rpartition("/")[2][:24] not in pushed and current)
        }

    def _pushed(self):
        rows = self.sql(
            "select left(name, 24) as name from pg_ls_archive_statusdir() where name like '%.done'"
        )
        return {row["name"] for row in rows.fetchall()}

    def forget(self, is_strange):
        """Remove objects from every site, until no pull brings them back."""
        order = [self.active, self.plan.site_of("dr"), self.plan.site_of("archive")]
        interval = self.plan.recovery.pull_interval.total_seconds()
        deadline = time.monotonic() + 10 * interval
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            keys = [
                (site, e.key) for site in order for e in self.buckets[site].list(ROOT) if is_strange(e.key)
            ]
            for site, key in keys:
                self.buckets[site].delete(key)
            quiet = 0 if keys else quiet + 1
            time.sleep(interval / 4)

    def _second_sql(self, data, query):
        self.on_primary(f"psql -qAt -h {data} -p {SECOND_PORT} -U postgres -c {shlex.quote(query)} postgres")

    def _second_archived(self, data):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            waiting = self.on_primary(f"ls {data}/pg_wal/archive_status | grep -c ready || true")
            if int(waiting) == 0:
                return
            time.sleep(0.3)


def dumped(seen):
    """Findings as text."""
    return json.dumps({f"{where}: {name}": severity for (where, name), severity in seen.items()})
