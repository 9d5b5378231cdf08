"""A hundred simulated days of the database's backups, replication and expiry, as the plan times them.

`python tests/faults/retention_database.py [DAYS]` in the repository's root. PostgreSQL runs by a moved clock
(libfaketime), from which pgBackRest takes the moments of its backups; its requests to the stores are signed
by the real one. Every day, at every site, exactly the plan's backups and WAL are there, and at the end each
kind of them comes back from every site.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from stores import stores

from infra.lab.hosts import write_host
from infra.lab.processes import MARK, as_account
from tasks import inventory
from tasks.clients import pgbackrest
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.pgbackrest_command import recovery_secrets
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.clients.truth import claim, close
from tasks.copying import Rules, pull_repository
from tasks.errors import Refused
from tasks.expiry import remove_expired
from tasks.policy.expiry import Limits, decide_all
from tasks.policy.replication import replication_pairs, repositories
from tasks.verify import verify_database

PRIMARY = "us-east-1"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
SEGMENTS = 0x100  # of 16 MiB in each of the 4 GiB that a WAL file's name counts


@dataclass(frozen=True)
class Taken:
    """A backup as it was right after it was taken."""

    label: str
    kind: str
    at: datetime
    needs: frozenset[str]
    wal: range


class Database:
    """One PostgreSQL server that archives to the primary site's store, and believes another clock."""

    def __init__(self, lab):
        self.plan = lab.plan
        self.host = next(iter(lab.plan.sites[PRIMARY].running("postgres")))
        self.root, self.layout = lab.root(PRIMARY, self.host), Layout.of(lab.plan, PRIMARY, self.host)
        self.offset = self.root / "run/offset"
        self.psql = Psql(lab.plan, PRIMARY, self.host)
        self.mark = f"{lab.home.directory}:{PRIMARY}/{self.host}/patroni"
        for site in lab.plan.sites:
            for host in lab.plan.sites[site].running("postgres"):
                write_host(lab.home, lab.plan, site, host, PRIMARY, {"postgres"})

    def start(self, at):
        self.move(at)
        data, binaries = self.layout.data_dir, self.plan.access.postgres_bin
        self.run([f"{binaries}/initdb", "-D", data, "-A", "peer", "-k", "-E", "UTF8", "--locale=C.UTF-8"])
        # The archiver's requests are signed: they need the real clock.
        push = f"env -u LD_PRELOAD {self.layout.pgbackrest} archive-push %p"
        settings = {
            "listen_addresses": "", "unix_socket_directories": self.psql.socket, "archive_mode": "on",
            "archive_command": push, "autovacuum": "off", "shared_buffers": "16MB", "wal_level": "replica",
        }  # fmt: skip
        (data / "postgresql.auto.conf").write_text("".join(f"{k} = '{v}'\n" for k, v in settings.items()))
        moved = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self.offset),
            "FAKETIME_NO_CACHE": "1",
        }
        moved |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.run(
            [f"{binaries}/pg_ctl", "-D", data, "-w", "-l", self.root / "var/log/postgres.log", "start"], moved
        )
        self.psql.query("create table day (at timestamptz primary key)", database="postgres")
        pgbackrest.create_stanza(self.plan, PRIMARY, self.host)

    def run(self, argv, environment=None):
        # Set behind the change of account: libfaketime keeps a semaphore that only its maker may open.
        moved = ["env", *(f"{name}={value}" for name, value in (environment or {}).items())]
        known = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", MARK: self.mark}
        argv = [*as_account(), *moved, *map(str, argv)]
        subprocess.run(argv, cwd=self.root, env=known, stdout=subprocess.DEVNULL, check=True, timeout=120)

    def move(self, at):
        """Set the server's clock; it goes on from there."""
        partial = self.offset.with_suffix(".partial")
        partial.write_text(f"{(at - datetime.now(UTC)).total_seconds():+.3f}\n")
        partial.chmod(0o644)
        partial.rename(self.offset)

    def back_up(self, kind, at):
        """Write a row, take a backup at a moment of the moved clock, and tell what it is."""
        self.move(at)
        self.psql.query("insert into day values (clock_timestamp())", database="postgres")
        label = pgbackrest.backup(self.plan, PRIMARY, self.host, kind, timeout=120)
        told = pgbackrest.info(self.plan, PRIMARY, self.host)["backup"][-1]
        assert (told["label"], told["type"]) == (label, kind)
        stop = datetime.fromtimestamp(told["timestamp"]["stop"], UTC)
        assert timedelta(0) <= stop - at < timedelta(minutes=2), (stop, at)
        needs = frozenset([*(told["reference"] or ()), *([told["prior"]] if told["prior"] else ())])
        wal = range(number(told["archive"]["start"]), number(told["archive"]["stop"]) + 1)
        return Taken(label, kind, stop, needs, wal)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201


def number(segment):
    return int(segment[8:16], 16) * SEGMENTS + int(segment[16:24], 16)


def pulls(plan):
    return replication_pairs({name: site.role for name, site in plan.sites.items()}, PRIMARY)


def keep(plan):
    database = plan.backup_strategy.database
    return {"full": database.full_backup.retention, "incr": database.incremental_backup.retention}


def replicate(plan, now):
    rules = Rules(plan.secret("repository_cipher"), keep(plan), now)
    of = repositories(plan.postgresql_ha.cluster_name)["pgbackrest"]
    for pull in pulls(plan):
        source, target = Bucket.readable(plan, pull.source), Bucket.owned(plan, pull.target)
        report = pull_repository(source, target, of, rules)
        assert report.conflicts == (), report
        assert report.refused == (), report


def expire(plan, now):
    source_of = {pull.target: pull.source for pull in pulls(plan)}
    limits = Limits(now, plan.protection.expiry.interval)
    decided = decide_all(plan, inventory.holdings(plan), pulls(plan), limits)
    ours = [each for each in decided if each.asset == "database"]
    assert [each.left_alone for each in ours] == [""] * len(plan.sites), ours
    for each in ours:
        remove_expired.fn(plan, each, source_of.get(each.site))


def expected_backups(plan, taken, now):
    """The labels that the plan keeps: the young ones, what they need, and the newest."""
    retention, known = keep(plan), {each.label: each for each in taken}
    waiting = [each for each in taken if now - each.at < retention[each.kind]] or [taken[-1]]
    kept = set()
    while waiting:
        each = waiting.pop()
        if each.label not in kept:
            kept.add(each.label)
            waiting += [known[label] for label in each.needs]
    return kept


def expected_wal(plan, taken, kept, now, newest):
    """All WAL since the last backup that ended before the retention began, and each older backup's own."""
    begin = now - plan.backup_strategy.database.wal_archiving.retention
    there = [each for each in taken if each.label in kept]
    before = list(takewhile(lambda each: each.at <= begin, there))
    first = (before or there)[-1 if before else 0].wal[0]
    return {segment for each in there for segment in each.wal} | set(range(first, newest + 1))


def held_wal(plan, site):
    stanza = plan.postgresql_ha.cluster_name
    names = (
        entry.key.rpartition("/")[2]
        for entry in Bucket.readable(plan, site).list(f"pgbackrest/archive/{stanza}")
    )
    return {number(name) for name in names if len(name.partition("-")[0]) == 24}


def assert_exact(plan, taken, now):
    """Every site holds exactly what the plan keeps, and all of the WAL that reaches."""
    kept = expected_backups(plan, taken, now)
    newest = max(held_wal(plan, PRIMARY))
    wal = expected_wal(plan, taken, kept, now, newest)
    for site in plan.sites:
        held = {backup["label"] for backup in pgbackrest.info_of(plan, site)["backup"]}
        assert held == kept, f"{site} {now}: too many {sorted(held - kept)}, too few {sorted(kept - held)}"
        segments = held_wal(plan, site)
        newer = {segment for segment in segments if segment > newest}
        assert segments - newer == wal, f"{site} {now}: {sorted(segments ^ wal)[:9]}"
    return len(kept), len(wal)


def frozen(plan, now):
    """With an incident open nothing goes."""
    mine = claim(plan, "a-drill-of-expiry", PRIMARY)
    try:
        expire(plan, now)
    except Refused as error:
        assert "frozen" in error.message  # noqa: PT017 -- the answer wanted
    else:
        raise AssertionError("expiry ran while an incident was open")
    finally:
        close(plan, mine)


def restore(database, site, label, target=None):
    """The newest row that a restore of a backup, or to a moment, has."""
    plan = database.plan
    into = database.layout.data_dir.with_name("restored")
    server = PrivateServer(plan, PRIMARY, database.host, into)
    server.stop(remove=True)
    pgbackrest.restore(plan, site, (PRIMARY, database.host), into, label=label, target=target, timeout=300)
    server.start(timeout=300, secrets=recovery_secrets(plan, site))
    [row] = server.psql.query("select extract(epoch from max(at)) from day", database="postgres")
    server.stop(remove=True)
    return datetime.fromtimestamp(float(row), UTC)


def assert_comes_back(database, taken, site, now):
    """The oldest of each kind, the newest, and the first moment that the WAL must reach."""
    plan = database.plan
    kept = expected_backups(plan, taken, now)
    there = [each for each in taken if each.label in kept]
    oldest = [next(each for each in there if each.kind == kind) for kind in ("full", "incr")]
    for each in (*oldest, there[-1]):
        row = restore(database, site, each.label)
        assert timedelta(0) <= each.at - row < timedelta(minutes=2), (each, row)
    begin = now - plan.backup_strategy.database.wal_archiving.retention
    moment = max(begin, taken[0].at) + timedelta(minutes=1)
    last = max(each.at for each in taken if each.at < moment)
    row = restore(database, site, None, moment)
    assert timedelta(0) <= last - row < timedelta(minutes=2), (moment, last, row)


def events(plan, first, days):
    """What the plan's schedules do, in their order."""
    database, end = plan.backup_strategy.database, first + timedelta(days=days)
    schedules = {
        "full": database.full_backup.schedule,
        "incr": database.incremental_backup.schedule,
        "expire": plan.protection.expiry,
    }
    every = ((at, what) for what, when in schedules.items() for at in when.next_times(first, days * 24))
    return sorted((at.astimezone(UTC), what) for at, what in every if at < end)


def main(days):
    first = datetime.now(UTC).replace(hour=0, minute=30, second=0, microsecond=0) - timedelta(days=days + 1)
    with stores() as lab:
        plan, database = lab.plan, Database(lab)
        database.start(first)
        taken, expiries = [], 0
        for at, what in events(plan, first, days):
            if what != "expire":
                # pgBackRest's first backup is a full one, whatever is asked for.
                taken.append(database.back_up(what if taken else "full", at))
                continue
            replicate(plan, at)
            if expiries == days // 2:
                held = assert_exact(plan, taken, at - timedelta(days=1))
                frozen(plan, at)
                assert assert_exact(plan, taken, at - timedelta(days=1)) == held
                say(f"{at:%Y-%m-%d}: nothing goes while an incident is open")
            expire(plan, at)
            held = assert_exact(plan, taken, at)
            expiries += 1
            if expiries % 10 == 0 or expiries < 3:
                say(f"day {expiries}: {held[0]} of {len(taken)} backups and {held[1]} segments at every site")
        replicate(plan, at)
        for site in plan.sites:
            assert [found.damages for found in verify_database.fn(plan, site)] == [()]
            assert_comes_back(database, taken, site, at)
            say(f"{site}: the oldest of each kind, the newest, and the first moment of the WAL come back")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
