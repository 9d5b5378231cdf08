"""Faults of WAL archiving planted on a running lab, each healed again, and the check that must find them."""

import json
import os
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
from tasks.errors import Permanent
from tasks.wal_report import last_numbers

ROOT = "pgbackrest/archive"


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

    def green(self, seconds=150):
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

    def store_stopped(self, site):
        """A site's store that accepts connections and answers nothing."""
        host = next(iter(self.plan.sites[site].running("storage")))
        return processes.frozen(processes.running(self.lab.home.directory)[f"{site}/{host}/storage"])

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
    def pulls_held(self):
        """No site copies anything, as if the loop that pulls had stopped."""
        loops = processes.running(self.lab.home.directory)
        held = [each for key, each in loops.items() if key.endswith("/loop-pull")]
        assert held
        for each in held:
            each.suspend()
        try:
            yield
        finally:
            for each in held:
                each.resume()


def dumped(seen):
    """Findings as text."""
    return json.dumps({f"{where}: {name}": severity for (where, name), severity in seen.items()})


@contextmanager
def replication_held_back(lab, old, new):
    """Stop the old primary's WAL senders to the other site; nothing is in flight when it dies."""
    query = "select pid from pg_stat_replication where application_name = any(%s)"
    nodes = list(lab.plan.sites[new].running("postgres"))
    with postgres.connected(lab.plan, patroni.leader(lab.plan, old).host) as connection:
        senders = [psutil.Process(row["pid"]) for row in connection.execute(query, (nodes,))]
    assert senders
    for process in senders:
        process.suspend()
    try:
        yield
    finally:
        for process in senders:
            with suppress(psutil.NoSuchProcess):
                process.resume()
