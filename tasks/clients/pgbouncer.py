"""PgBouncer's own console: its settings, and who waits. Source: PgBouncer manual, "Admin console"."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tasks.errors import Transient
from tasks.plan.plan import Plan

_TIMEOUT_S = 3


@contextmanager
def console(plan: Plan, address: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The console, as the service's own user, whom it lets look.

    Raises:
        Transient: it does not answer.
    """
    try:
        with psycopg.connect(
            host=address, port=6432, dbname="pgbouncer", user="naas_service", connect_timeout=_TIMEOUT_S,
            password=plan.secret("database_service"), autocommit=True, prepare_threshold=None,
            row_factory=dict_row,
        ) as opened:  # fmt: skip
            yield opened
    except psycopg.Error as error:
        raise Transient(f"PgBouncer at {address} does not answer", str(error).strip()) from error


def clients(plan: Plan, address: str) -> dict[str, int]:
    """How many clients it serves, and how many wait for a connection, in all its pools.

    Raises:
        Transient: it does not answer.
    """
    with console(plan, address) as opened:
        pools = opened.execute("show pools").fetchall()
    return {
        state: sum(int(pool[column]) for pool in pools)
        for state, column in (("served", "cl_active"), ("waiting", "cl_waiting"))
    }
