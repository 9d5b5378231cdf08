"""What a database host runs: the versions of programs and server, and which cluster it is.

Source: PostgreSQL manual, "pg_control_system", "Database Object Size Functions".
"""

import re
from dataclasses import dataclass

from tasks.clients.postgres import connected
from tasks.clients.remote import run_on
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_SERVER = """
select (current_setting('server_version_num')::int / 10000)::text as running,
       (select system_identifier from pg_control_system()) as system_id,
       (select sum(pg_database_size(oid))::bigint from pg_database) as bytes
"""


@dataclass(frozen=True)
class ServerFacts:
    """A running server and the programs beside it.

    Attributes:
        pgbackrest: pgBackRest's version.
        programs: the major version of PostgreSQL's programs.
        running: the major version of the server that runs.
        system_id: the cluster's system identifier.
        bytes: the size of all its databases.
    """

    pgbackrest: str
    programs: str
    running: str
    system_id: int
    bytes: int


def server_facts(plan: Plan, site: str, host: str) -> ServerFacts:
    """Ask a host and the server on it.

    Raises:
        Transient: it does not answer.
        Permanent: it refused, or told no version.
    """
    address = str(plan.sites[site].hosts[host].address)
    with connected(plan, address, timeout=30) as connection:
        row = connection.execute(_SERVER).fetchone() or {}
    return ServerFacts(
        pgbackrest=_version(plan, address, ["pgbackrest", "version"], r"pgBackRest (\S+)"),
        programs=_version(plan, address, [f"{plan.access.postgres_bin}/postgres", "--version"], r"\) (\d+)"),
        **row,
    )


def _version(plan: Plan, address: str, argv: list[str], pattern: str) -> str:
    told = run_on(plan, address, argv, timeout=30)
    found = re.search(pattern, told)
    if found is None:
        raise Permanent(f"{argv[0]} on {address} told no version", told[:200])
    return found[1]
