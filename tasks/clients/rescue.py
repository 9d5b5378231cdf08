"""Reading a diverged node: a private copy of its data directory, opened beside, never the node itself.

A node that is ahead of the new timeline may never open for reads: as soon as its archive or a peer shows
it the new timeline, it refuses its own. The copy starts without any of that, recovers its own WAL to the
end, and answers on a socket of its own only.

Source: PostgreSQL manual, "pg_ctl", "Starting a standby server" (no signal file: crash recovery alone).
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.plan.plan import Plan

_COPY_S = 4 * 3600
# pg_control goes first: an older one only makes recovery start earlier.
_OPEN = """
set -eu
rm -rf {copy}
mkdir -m 700 {copy} {copy}/global
cp -a {data}/global/pg_control {copy}/global/
cp -a --reflink=auto --no-clobber {data}/. {copy}/
rm -f {copy}/postmaster.pid {copy}/standby.signal {copy}/recovery.signal
{binaries}/pg_ctl -D {copy} -w -t 3600 -l {copy}/rescue.log -o {options} start >/dev/null
"""
_CLOSE = """
[ ! -e {copy}/postmaster.pid ] || {binaries}/pg_ctl -D {copy} -m immediate -w stop >/dev/null
rm -rf {copy}
"""
_TABLES = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'naas_dr')
"""
_ROWS = """
select json_build_object('table', {table}, 'xid', t.xmin::text::bigint, 'row', to_jsonb(t))
from {name} t where t.xmin::text::bigint in ({xids})
"""


@dataclass(frozen=True)
class SavedRow:
    """One row, and the transaction that wrote it."""

    table: str
    xid: int
    row: dict[str, Any]


def rows_of(plan: Plan, site: str, host: str, xids: list[int]) -> list[SavedRow]:
    """The rows of all user tables that these transactions inserted or updated last.

    Returns:
        those that are still there; what the transactions deleted is in the WAL only.

    Raises:
        Permanent: the copy cannot be made (its size is the data directory's) or opened.
        Transient: the host cannot be reached.
    """
    rescue = _Rescue(plan, site, host)
    rescue.shell(_CLOSE)
    try:
        rescue.shell(_OPEN)
        return [row for name in rescue.query(_TABLES) for row in _rows_in(rescue, name, xids)]
    finally:
        rescue.shell(_CLOSE)


def _rows_in(rescue: "_Rescue", name: str, xids: list[int]) -> list[SavedRow]:
    quoted = "'" + name.replace("'", "''") + "'"
    text = _ROWS.format(table=quoted, name=name, xids=",".join(map(str, xids)))
    return [SavedRow(**json.loads(line)) for line in rescue.query(text)]


class _Rescue:
    """The copy beside one node's data directory."""

    def __init__(self, plan: Plan, site: str, host: str) -> None:
        layout = Layout.of(plan, site, host)
        self._plan = plan
        self._address = str(plan.sites[site].hosts[host].address)
        self._copy = layout.root / "run" / "rescue"
        self._words = {
            "data": shlex.quote(str(layout.data_dir)),
            "copy": shlex.quote(str(self._copy)),
            "binaries": plan.access.postgres_bin,
            "options": shlex.quote(_options(self._copy)),
        }

    def shell(self, script: str) -> None:
        """Run one of the scripts on the node's host."""
        run_on(self._plan, self._address, ["sh", "-c", script.format(**self._words)], timeout=_COPY_S)

    def query(self, text: str) -> list[str]:
        """One column's rows from the copy."""
        argv = [f"{self._plan.access.postgres_bin}/psql", "-h", str(self._copy), "-U", "postgres"]
        argv += ["-d", self._plan.service.database, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return run_on(self._plan, self._address, argv, timeout=600, stdin=text).splitlines()


def _options(copy: Path) -> str:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(copy),
        "hba_file": f"{copy}/pg_hba.conf",
        "ident_file": f"{copy}/pg_ident.conf",
        "archive_mode": "off",
        "autovacuum": "off",
        "default_transaction_read_only": "on",
        "synchronous_standby_names": "",
        "logging_collector": "off",
    }
    return " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
