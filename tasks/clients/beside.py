"""A database restored beside a host's data directory, recovered in private, and swapped in for it.

What was done so far is told by files in the restored directory itself, so that a run that was killed goes on
where it was. The directory that was there is renamed, never removed.

Source: pgBackRest command reference, "Restore Command"; PostgreSQL manual, "Continuous Archiving: Timelines".
"""

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from tasks.clients import pgbackrest
from tasks.clients.layout import Layout
from tasks.clients.private import PrivateServer
from tasks.clients.remote import run_on
from tasks.errors import DrError, Permanent
from tasks.plan.plan import Plan

State = Literal["nothing", "restored", "recovered", "in place"]
_STATE = """
cd /
if grep -qsF {incident} {live}/dr_recovered.json; then echo in place
elif [ -e {copy}/dr_recovered.json ]; then echo recovered
elif [ -e {copy}/dr_restored ] && {{ [ -e {copy}/recovery.signal ] || {running}; }}; then echo restored
else echo nothing
fi
"""
_RUNNING = "{binaries}/pg_ctl -D {copy} status >/dev/null 2>&1"
# The moment that it was restored for; empty for the newest.
_MARK = "sync -f {copy} && cat >{copy}/dr_restored"
_TARGET = "cat {copy}/dr_restored 2>/dev/null || cat {live}/dr_restored 2>/dev/null || echo unknown"
_FORGET = "rm -f {copy}/dr_restored"
_UNREACHED = "recovery ended before configured recovery target was reached"
_KEEP = "cat >{copy}/dr_recovered.partial && mv {copy}/dr_recovered.partial {copy}/dr_recovered.json"
# What it knew before anything was written to it. Ids below the snapshot's end whose transactions ended
# without a commit may be those of commits that are missing: never more than there were connections.
_FACTS = """
select json_build_object(
    'system', (select system_identifier::text from pg_control_system()),
    'history', pg_read_file('pg_wal/' || left(wal, 8) || '.history'),
    'wal', wal,
    'reached', pg_last_xact_replay_timestamp(),
    'next_xid', next_xid - least(current_setting('max_connections')::int, (
        select count(*) from generate_series(greatest(3, next_xid - 10000), next_xid - 1) as id
        where pg_xact_status(id::text::xid8) = 'aborted')),
    'bytes', (select sum(pg_database_size(oid)) from pg_database))
from (select pg_walfile_name(pg_current_wal_lsn()) as wal,
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next_xid) as now
"""
_TABLES = """
select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')
"""
_DATABASES = "select datname from pg_database where datallowconn and not datistemplate order by 1"
# Patroni owns these settings; it removes those of a recovery itself, but not archive_mode. The timeline that
# the private server began is in no archive yet, and a recovery looks for timelines one after the other.
_TIDY = """
set -eu
cd {copy}
sed -i -E '/^(archive_mode|restore_command|recovery_[a-z_]+) *=/d' postgresql.auto.conf
rm -f dr_hba.conf dr_ident.conf dr_server.log
wal={wal}
line=$(printf %.8s "$wal")
for name in pg_wal/"$line"????????????????; do
    segment=${{name#pg_wal/}}
    if [ -e "$name" ] && [ "$segment" \\< "$wal" ]; then : >"pg_wal/archive_status/$segment.ready"; fi
done
[ ! -e "pg_wal/$line.history" ] || : >"pg_wal/archive_status/$line.history.ready"
"""
_ASIDE = """
set -eu
cd /
[ -e {live} ] || exit 0
rmdir {live} 2>/dev/null || mv -nT {live} {aside}
[ ! -e {live} ] || {{ echo "{aside} is there already, and {live} too" >&2; exit 1; }}
"""
_SWAP = "mv -nT {copy} {live} && [ ! -e {copy} ] && sync -f {live}"
_KEPT = "[ ! -e {aside} ] || echo {aside}"
_BUSY = "if [ -e {live}/postmaster.pid ] && {binaries}/pg_ctl -D {live} status >/dev/null; then echo busy; fi"


@dataclass(frozen=True)
class Beside:
    """A database host, and the copy beside its data directory that an incident restores.

    Attributes:
        plan: the plan.
        site: the host's site.
        host: the host.
        incident: whose copy.
    """

    plan: Plan
    site: str
    host: str
    incident: str

    @property
    def live(self) -> Path:
        """Patroni's data directory."""
        return Layout.of(self.plan, self.site, self.host).data_dir

    @property
    def copy(self) -> Path:
        """Where the copy is restored."""
        return self.live.with_name(f"dr-cold-{self.incident}")

    @property
    def aside(self) -> Path:
        """What the data directory becomes that was there."""
        return self.live.with_name(f"{self.live.name}-before-{self.incident}")

    def state(self) -> State:
        """How far an earlier run came.

        Raises:
            Transient: the host cannot be reached.
        """
        running = _RUNNING.format(**self._words)
        told = self._shell(_STATE, incident=shlex.quote(self.incident), running=running)
        return cast(State, told.strip())

    def restore(
        self, from_site: str, target: datetime | None, timeout: float, tell: Callable[[str], None]
    ) -> float:
        """Restore the files anew, from a site's copy; what an earlier attempt left is removed.

        Returns:
            the seconds that pgBackRest took.

        Raises:
            Permanent: pgBackRest failed.
            Transient: the host cannot be reached, or another restore is at work there.
        """
        self.server.stop(remove=True)
        began = time.monotonic()
        pgbackrest.restore(
            self.plan, from_site, (self.site, self.host), self.copy,
            target=target, timeout=timeout, tell=tell,
        )  # fmt: skip
        took = time.monotonic() - began
        self._shell(_MARK, stdin=_written(target))
        return took

    def is_for(self, target: datetime | None) -> bool:
        """Whether the copy, or what was swapped in of it, is for this moment; so is one that does not tell.

        Raises:
            Transient: the host cannot be reached.
        """
        return self._shell(_TARGET).strip() in {_written(target), "unknown"}

    def recover(self, secrets: Mapping[str, str], timeout: float) -> dict[str, Any]:
        """Let it recover to its end in private, write down what it then is, and stop it.

        Raises:
            Permanent: it does not start, or does not reach its target.
            Transient: the host cannot be reached.
        """
        began = time.monotonic()
        if not self._has_recovered():
            # Of a run that was killed: it may wait for nobody.
            self.server.stop(remove=False)
            self._start(secrets, timeout)
        facts: dict[str, Any] = json.loads("".join(self.server.psql.query(_FACTS, database="postgres")))
        names = self.server.psql.query(_DATABASES, database="postgres")
        facts["tables"] = sum(int(self.server.psql.query(_TABLES, database=name)[0]) for name in names)
        facts["seconds"] = round(time.monotonic() - began, 3)
        self._shell(_KEEP, stdin=json.dumps(facts | {"incident": self.incident}))
        self.server.stop(remove=False)
        return facts

    def recovered(self) -> dict[str, Any]:
        """What was written down; wherever the directory is now.

        Raises:
            Permanent: nothing was.
            Transient: the host cannot be reached.
        """
        script = "cat {copy}/dr_recovered.json 2>/dev/null || cat {live}/dr_recovered.json"
        return dict(json.loads(self._shell(script)))

    def tidy(self, wal: str) -> None:
        """Take out what made it private, and see that its own new timeline is archived.

        Args:
            wal: the segment that it wrote when its recovery had ended.
        """
        self.server.stop(remove=False)
        self._shell(_TIDY, wal=shlex.quote(wal))

    def set_aside(self) -> None:
        """Rename the data directory, unless it is empty or missing.

        Raises:
            Permanent: a server still runs on it, or it cannot be renamed.
        """
        if self._shell(_BUSY).strip():
            raise Permanent(f"PostgreSQL still runs on {self.host}", str(self.live), "stop it by hand")
        self._shell(_ASIDE)

    def swap_in(self) -> None:
        """Put the copy where the data directory was.

        Raises:
            Permanent: something is there.
        """
        self._shell(_SWAP)

    def kept(self) -> str | None:
        """What was set aside, as HOST:PATH; None where there was nothing."""
        return f"{self.host}:{self.aside}" if self._shell(_KEPT).strip() else None

    @property
    def server(self) -> PrivateServer:
        """The private server on the copy; what it writes reaches the disk."""
        return PrivateServer(self.plan, self.site, self.host, self.copy)

    def _start(self, secrets: Mapping[str, str], timeout: float) -> None:
        try:
            self.server.start(timeout=timeout, secrets=secrets)
        except Permanent as error:
            if _UNREACHED not in error.detail:
                raise
            # Whoever resumes may name another moment, for which it is restored anew.
            self._shell(_FORGET)
            hint = "resume the incident with an earlier --param target_time=MOMENT"
            raise Permanent("the WAL ends before the moment to recover to", error.detail, hint) from error

    def _has_recovered(self) -> bool:
        """Whether it runs, and its recovery has ended."""
        signal = f"{_RUNNING} && [ ! -e {{copy}}/recovery.signal ] && echo so || true"
        if not self._shell(signal).strip():
            return False
        try:
            return self.server.psql.query("select pg_is_in_recovery()", database="postgres") == ["f"]
        except DrError:
            return False

    @property
    def _words(self) -> dict[str, str]:
        paths = {"copy": self.copy, "live": self.live, "aside": self.aside}
        quoted = {name: shlex.quote(str(path)) for name, path in paths.items()}
        return {**quoted, "binaries": self.plan.access.postgres_bin}

    def _shell(self, script: str, *, stdin: str = "", **words: str) -> str:
        address = str(self.plan.sites[self.site].hosts[self.host].address)
        argv = ["sh", "-c", script.format(**self._words, **words)]
        return run_on(self.plan, address, argv, timeout=600, stdin=stdin)


def _written(target: datetime | None) -> str:
    return target.astimezone(UTC).isoformat() if target else ""
