"""A data directory opened in private: no network, no archiving, no replication, a socket of its own.

Source: PostgreSQL manual, "pg_ctl", "Archive Recovery", "pg_amcheck"; without hot standby a server accepts
connections only once it has recovered, which pg_ctl does not wait for.
"""

import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.clients.command import Held
from tasks.clients.psql import Psql
from tasks.clients.remote import hold_on, run_on
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

_START = """
set -eu
cd {copy}
printf 'local all postgres peer\\n' >dr_hba.conf
: >dr_ident.conf
log=$PWD/dr_server.log
{binaries}/pg_ctl -D . -w -t {patience} -l "$log" -o {options} start >/dev/null || {{
    tail -n 15 "$log" >&2
    exit 1
}}
end=$(($(date +%s) + {patience}))
until [ "$({psql} -d postgres -X -A -t -c 'select pg_is_in_recovery()' 2>/dev/null)" = f ]; do
    {binaries}/pg_ctl -D . status >/dev/null && [ "$(date +%s)" -lt "$end" ] || {{
        tail -n 15 "$log" >&2
        exit 1
    }}
    sleep 0.1
done
"""
_CLOSE = """
cd / && [ -e {copy} ] || exit 0
if [ -e {copy}/postmaster.pid ]; then
    {binaries}/pg_ctl -D {copy} -m {how} -w -t 600 stop >/dev/null 2>&1 \\
        || ! {binaries}/pg_ctl -D {copy} status >/dev/null
fi
"""
_REMOVE = "rm -rf {copy}\n"
_ROOM = '[ ! -e {copy} ] || [ -z "$(ls -A {copy})" ]'
# Never removed: whoever waited at a removed file would hold another lock than who comes next.
_CLAIM = "exec 9>{lock} && {{ flock -n 9 || exit {taken}; }} && echo held && exec cat >/dev/null"
_TAKEN = 75


@dataclass(frozen=True)
class PrivateServer:
    """A data directory on a database host, and the server that is started on it alone.

    Attributes:
        plan: the plan.
        site: the host's site.
        host: the host.
        directory: the data directory; never Patroni's.
        settings: of PostgreSQL, beside those that keep it private.
        within: what its programs are started through, such as into a namespace.
    """

    plan: Plan
    site: str
    host: str
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()

    def claim(self) -> Held:
        """Keep the directory from other runs until the claim, this process or its connection ends.

        Raises:
            Refused: another run has it.
            Permanent: the host has no `flock`.
            Transient: the host cannot be reached.
        """
        lock = f"{self.psql.socket}/dr-{self.psql.port}.lock"
        argv = ["sh", "-c", _CLAIM.format(lock=shlex.quote(lock), taken=_TAKEN)]
        try:
            return hold_on(self.plan, self._address, argv, timeout=30)
        except Permanent as error:
            if not error.detail.startswith(f"exit {_TAKEN}:"):
                raise
            where, hint = f"{self.directory} on {self.host}", "wait for its end, or name another host"
            raise Refused(f"another restore is at work in {where}", f"it holds {lock}", hint) from error

    def start(self, *, timeout: float, secrets: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it has recovered to the end, or to its target.

        Args:
            timeout: seconds.
            secrets: the environment of its restore_command.

        Raises:
            Permanent: it does not start, or its target cannot be reached; its log's end is the detail.
            Transient: the host cannot be reached, or the time is over.
        """
        psql = shlex.join(self.psql.command("psql"))
        secrets = secrets or {}
        self._shell(_START, timeout=timeout + 30, secrets=secrets, patience=int(timeout), psql=psql)

    def stop(self, *, remove: bool, timeout: float = 3600) -> None:
        """End it, whether it runs or not, and remove its directory where asked to."""
        how = "immediate" if remove else "fast"
        self._shell(_CLOSE + (_REMOVE if remove else ""), timeout=timeout, how=how)

    def is_free(self) -> bool:
        """Whether the directory is missing or empty."""
        script = f"if {_ROOM}; then echo free; fi"
        return self._shell(script, timeout=30).strip() == "free"

    def amcheck(self, *, timeout: float) -> None:
        """Check every table and index of every database; the extension is made where it is missing.

        Raises:
            Permanent: something is corrupt; what, is the detail.
        """
        argv = [*self.psql.command("pg_amcheck"), "--all", "--install-missing"]
        run_on(self.plan, self._address, [*argv, "--heapallindexed", "--jobs=2"], timeout=timeout)

    @property
    def _address(self) -> str:
        return str(self.plan.sites[self.site].hosts[self.host].address)

    @property
    def psql(self) -> Psql:
        """How it is asked. Its port names a socket beside the live server's: a directory can be too long."""
        port = 50000 + zlib.crc32(str(self.directory).encode()) % 10000
        return Psql(self.plan, self.site, self.host, port)

    def _shell(
        self, script: str, *, timeout: float, secrets: Mapping[str, str] | None = None, **words: object
    ) -> str:
        known = {
            "copy": shlex.quote(str(self.directory)),
            "binaries": self.plan.access.postgres_bin,
            "options": shlex.quote(self._options()),
        }
        argv = [*self.within, "sh", "-c", script.format(**known, **words)]
        return run_on(self.plan, self._address, argv, timeout=timeout, secrets=secrets)

    def _options(self) -> str:
        settings = {
            "listen_addresses": "",
            "port": str(self.psql.port),
            "unix_socket_directories": self.psql.socket,
            "hba_file": f"{self.directory}/dr_hba.conf",
            "ident_file": f"{self.directory}/dr_ident.conf",
            "archive_mode": "off",
            "archive_command": "",
            "hot_standby": "off",
            "synchronous_standby_names": "",
            "primary_conninfo": "",
            "primary_slot_name": "",
            "logging_collector": "off",
            "autovacuum": "off",
            **self.settings,
        }
        return " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
