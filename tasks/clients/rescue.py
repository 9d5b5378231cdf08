"""Reading a diverged node: a private copy of its data directory, opened beside, never the node itself.

A node that is ahead of the new timeline may never open for reads: as soon as its archive or a peer shows
it the new timeline, it refuses its own. The copy starts without any of that, recovers its own WAL to the
end, and answers on a socket of its own only.

Source: PostgreSQL manual, "pg_ctl", "Starting a standby server" (no signal file: crash recovery alone).
"""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from tasks.clients.layout import Layout
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.clients.remote import run_on
from tasks.plan.plan import Plan

_COPY_S = 4 * 3600
# pg_control goes first: an older one only makes recovery start earlier. postmaster.pid never comes along: who
# stops the copy by it stops the node.
_COPY = """
set -eu
mkdir -m 700 {copy} {copy}/global
cp -a {data}/global/pg_control {copy}/global/
cd {data}
find . -mindepth 1 -maxdepth 1 ! -name 'postmaster.*' ! -name '*.signal' \
    -exec cp -a --reflink=auto --no-clobber -t {copy} {{}} +
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
    layout = Layout.of(plan, site, host)
    copy = layout.data_dir.with_name("dr-rescue")
    server = PrivateServer(plan, site, host, copy, {"default_transaction_read_only": "on"})
    server.stop(remove=True)
    try:
        words = {"data": shlex.quote(str(layout.data_dir)), "copy": shlex.quote(str(copy))}
        address = str(plan.sites[site].hosts[host].address)
        run_on(plan, address, ["sh", "-c", _COPY.format(**words)], timeout=_COPY_S)
        server.start(timeout=3600)
        names = server.psql.query(_TABLES, database=plan.service.database)
        return [row for name in names for row in _rows_in(server.psql, name, xids)]
    finally:
        server.stop(remove=True)


def _rows_in(server: Psql, name: str, xids: list[int]) -> list[SavedRow]:
    quoted = "'" + name.replace("'", "''") + "'"
    text = _ROWS.format(table=quoted, name=name, xids=",".join(map(str, xids)))
    return [
        SavedRow(**json.loads(line)) for line in server.query(text, database=server.plan.service.database)
    ]
