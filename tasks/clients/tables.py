"""Single tables of a restored copy: dumped, moved to a schema of their own, and brought into a live database.

Source: PostgreSQL manual, "pg_dump", "pg_restore", "ALTER TABLE".
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread

from tasks.clients.digests import Digest, Digests, digests_of
from tasks.clients.private import PrivateServer
from tasks.clients.psql import Psql
from tasks.clients.remote import follow_on, run_on
from tasks.errors import DrError, Permanent

_HOURS = 6 * 3600.0
# A binary stream as lines of text, whatever the remote shell does to bytes.
_ENCODED = 'set -e; "$@" >{file}; base64 -w 65536 {file}; rm -f {file}'
_AHEAD = 32
_PART = r'("(?:[^"]|"")*"|[^".]+)'
_QUALIFIED = re.compile(rf"{_PART}\.{_PART}")
# A copy to look at brings no keys, triggers or indexes along: they name tables that have changed since.
_DATA_ONLY = ("--section=pre-data", "--section=data")


@dataclass(frozen=True)
class Table:
    """A table of a database: its name as PostgreSQL writes it, with the schema, quoted where it must be."""

    database: str
    name: str

    @property
    def schema(self) -> str:
        """Its schema, as PostgreSQL writes it."""
        return _parts(self.name)[0]

    @property
    def plain(self) -> str:
        """Its name without the schema, as PostgreSQL writes it."""
        return _parts(self.name)[1]

    def within(self, schema: str) -> "Table":
        """The table of the same name in another schema."""
        return Table(self.database, f"{schema}.{self.plain}")


def dump(server: PrivateServer, table: Table) -> Iterator[bytes]:
    """A table in pg_dump's custom format, as it comes.

    Raises:
        Permanent: pg_dump failed.
        Transient: the host cannot be reached, or the time is over.
    """
    address = str(server.plan.sites[server.site].hosts[server.host].address)
    script = _ENCODED.format(file=_scratch(server))
    argv = ["sh", "-c", script, "sh", *_dumping(server, table)]
    lines: Queue[str | None] = Queue(_AHEAD)
    failures: list[DrError] = []

    def read() -> None:
        try:
            follow_on(server.plan, address, argv, lines.put, timeout=_HOURS)
        except DrError as error:
            failures.append(error)
        lines.put(None)

    Thread(target=read, daemon=True).start()
    while (line := lines.get()) is not None:
        yield base64.b64decode(line)
    if failures:
        raise failures[0]


def move_apart(server: PrivateServer, table: Table, schema: str) -> Table:
    """Put a table of the copy into a schema of its own, with its indexes, keys and sequences.

    Raises:
        Permanent: it cannot be moved.
        Transient: the host cannot be reached.
    """
    apart = table.within(schema)
    server.psql.query(f"create schema if not exists {schema}", database=table.database)
    server.psql.query(f"alter table {table.name} set schema {schema}", database=table.database)
    return apart


def bring(server: PrivateServer, table: Table, live: str, *, whole: bool) -> None:
    """Bring a table of the copy, in a schema of its own, into a live database; all of it, or nothing.

    Args:
        server: the copy.
        table: in the schema that it was moved to.
        live: the address of the live database.
        whole: with its indexes, keys and triggers.

    Raises:
        Permanent: the live database refused it: it has such a table, or a key does not hold there.
        Transient: the host cannot be reached, or the time is over.
    """
    plan, file = server.plan, _scratch(server)
    address = str(plan.sites[server.site].hosts[server.host].address)
    run_on(plan, address, [*_dumping(server, table), f"--file={file}"], timeout=_HOURS)
    sections = () if whole else _DATA_ONLY
    restore = [
        f"{plan.access.postgres_bin}/pg_restore", "-h", live, "-p", "5432", "-U", "postgres", "--no-password",
        "-d", table.database, "--single-transaction", "--exit-on-error", *sections, str(file),
    ]  # fmt: skip
    try:
        secrets = {"PGPASSWORD": plan.secret("database_superuser")}
        run_on(plan, address, restore, timeout=_HOURS, secrets=secrets)
    finally:
        run_on(plan, address, ["rm", "-f", str(file)], timeout=60)


def exists(live: Psql, table: Table) -> bool:
    """Whether a live database has something of this name.

    Raises:
        Permanent: it cannot be asked.
        Transient: its host cannot be reached.
    """
    literal = table.name.replace("'", "''")
    return live.query(f"select to_regclass('{literal}') is not null", database=table.database) == ["t"]


def digest_in(live: Psql, table: Table) -> Digest:
    """One table's rows, and the sum of their hashes.

    Raises:
        Permanent: there is no such table.
        Transient: the host cannot be reached.
    """
    found: Digests = digests_of(live, only=table.name, database=table.database)
    try:
        return found[f"{table.database}/{table.name}"]
    except KeyError:
        raise Permanent(f"there is no {table.name} in {table.database}") from None


def make_schema(live: Psql, database: str, schema: str) -> None:
    """Make a schema in a live database, unless it is there.

    Raises:
        Permanent: it cannot be made.
        Transient: the host cannot be reached.
    """
    live.query(f"create schema if not exists {schema}", database=database)


def move_home(live: Psql, table: Table, home: Table) -> None:
    """Give a recovered table the place of one that was dropped; nothing that is there is replaced.

    Raises:
        Permanent: a table of that name is there.
        Transient: the host cannot be reached.
    """
    script = f"begin;\nalter table {table.name} set schema {home.schema};\n"
    # The schema of its own goes once it is empty; what else lies in it stays.
    script += (
        "do $$ begin if not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        f"where n.nspname = '{table.schema}') then drop schema {table.schema}; end if; end $$;\ncommit;\n"
    )
    live.query(script, database=table.database)


def _dumping(server: PrivateServer, table: Table) -> list[str]:
    argv = [*server.psql.command("pg_dump"), "-d", table.database, "--format=custom"]
    return [*argv, "--no-publications", "--no-subscriptions", f"--table={table.name}"]


def _scratch(server: PrivateServer) -> Path:
    """A file inside the copy, which is removed with it."""
    return server.directory / "dr_table.dump"


def _parts(name: str) -> tuple[str, str]:
    """Schema and table of a qualified name; a quoted part may hold dots and doubled quotes itself."""
    match = _QUALIFIED.fullmatch(name)
    if match is None:
        raise Permanent(f"{name} is not the name of a table", hint="SCHEMA.TABLE, as PostgreSQL writes it")
    return match[1], match[2]
