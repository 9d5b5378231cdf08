"""What a database holds, in one number a table: equal numbers, equal rows, in whatever order they lie.

Source: PostgreSQL manual, "psql", "Object Identifier Types".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.clients.psql import Psql

SETTINGS = """
set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set bytea_output = 'hex';
set extra_float_digits = 1; set search_path = pg_catalog; set xmlbinary = 'base64'; set lc_monetary = 'C';
"""
"""A row as text must not depend on the settings of the server that holds it."""
_DIGESTS = """
begin transaction isolation level repeatable read read only;
select format('select %L, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from %s t',
              c.oid::regclass, c.oid::regclass)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relpersistence = 'p'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
  {only}
order by 1 \\gexec
commit;
"""
DATABASES = "select datname from pg_database where datallowconn and not datistemplate order by 1"
"""Those that can hold a user's tables."""


@dataclass(frozen=True)
class Digest:
    """A table's rows, and the sum of their hashes."""

    rows: int
    sum: int


Digests = Mapping[str, Digest]


def digests_of(
    server: Psql, *, timeout: float = 3600, database: str | None = None, only: str | None = None
) -> Digests:
    """Every user table of every database, by `DATABASE/SCHEMA.TABLE`, as of one moment a database.

    Args:
        server: where.
        timeout: seconds for each database.
        database: only this one.
        only: only this table, by its name as PostgreSQL writes it.

    Raises:
        Permanent: a table cannot be read.
        Transient: the host cannot be reached, or the time is over.
    """
    found = {}
    chosen = "and c.oid::regclass::text = '{}'".format(only.replace("'", "''")) if only else ""
    script = SETTINGS + _DIGESTS.replace("{only}", chosen)
    for name in [database] if database else server.query(DATABASES, database="postgres"):
        for line in server.query(script, database=name, timeout=timeout):
            table, rows, total = line.split("\t")
            found[f"{name}/{table}"] = Digest(int(rows), int(total))
    return found
