"""Orders in PostgreSQL, through PgBouncer in transaction pooling mode."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool
from pydantic import Field

from infra.service.config import Database
from tasks.errors import Refused, Transient
from tasks.plan.base import Block

# Seconds. statement_timeout (1 s, in schema.sql) comes first, then PostgreSQL is asked to cancel, then the
# connection is dropped. The pool gives up on a reconnection early, because the next request starts a new
# one at once: its own backoff would sleep through the database's return.
_POOL_TIMEOUT = 0.5
_DEADLINE = 1.2
_ABANDON = 1.5
_RECONNECT = 0.2

_INSERT = "insert into orders (id, item, quantity) values (%s, %s, %s) on conflict (id) do nothing"
_FIND = "select id, item, quantity, created_at from orders where id = %s"
_LATEST = "select id, item, quantity, created_at from orders order by created_at desc limit %s"
_WRITABLE = """
    select not pg_is_in_recovery() and not current_setting('transaction_read_only')::bool
           and has_table_privilege('orders', 'insert')
"""


class NewOrder(Block):
    """An order as its client writes it; the id is the client's, so that a repetition changes nothing."""

    id: UUID
    # PostgreSQL's text holds every character but NUL.
    item: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    quantity: Annotated[int, Field(ge=1, le=2**31 - 1)]


class Order(NewOrder):
    """An order as it is kept."""

    created_at: datetime


class Orders:
    """The table of orders.

    Every method ends within 1.5 s and raises Transient where the database cannot be used, also
    where the outcome of a commit is unknown.
    """

    def __init__(self, database: Database) -> None:
        self._pool = AsyncConnectionPool(
            kwargs={
                "host": database.host,
                "port": database.port,
                "dbname": database.dbname,
                "user": database.user,
                "password": database.password,
                "application_name": "naas-service",
                "autocommit": True,
                # A statement prepared on one server connection is unknown to PgBouncer's next.
                "prepare_threshold": None,
                "connect_timeout": 2,
                "tcp_user_timeout": 2000,
            },
            min_size=2,
            max_size=10,
            timeout=_POOL_TIMEOUT,
            reconnect_timeout=_RECONNECT,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; a database that is away does not keep the service from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=2)

    async def place(self, order: NewOrder) -> None:
        """Keep an order; returns only after PostgreSQL has confirmed its COMMIT.

        Raises:
            Refused: the id is taken by an order that says something else.
        """
        async with self._connection() as connection, connection.transaction():
            done = await connection.execute(_INSERT, (order.id, order.item, order.quantity))
            if done.rowcount == 0 and not _same(await _find(connection, order.id), order):
                raise Refused("an order of this id says something else", str(order.id))

    async def find(self, order_id: UUID) -> Order | None:
        """The order of an id."""
        async with self._connection() as connection:
            return await _find(connection, order_id)

    async def latest(self, limit: int) -> list[Order]:
        """The latest orders, newest first."""
        async with (
            self._connection() as connection,
            connection.cursor(row_factory=class_row(Order)) as cursor,
        ):
            return await (await cursor.execute(_LATEST, (limit,))).fetchall()

    async def check(self) -> None:
        """Prove that this service's user can write here: a standby answers `select 1` as well.

        Raises:
            Transient: it cannot.
        """
        async with self._connection() as connection:
            row = await (await connection.execute(_WRITABLE)).fetchone()
        if row != (True,):
            raise Transient("the database takes no orders", "a standby, read-only, or insert is not granted")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        try:
            # The inner deadline has psycopg ask for a cancel and wait for it; the outer one ends that wait.
            async with (
                asyncio.timeout(_ABANDON),
                asyncio.timeout(_DEADLINE),
                self._pool.connection() as connection,
            ):
                yield connection
        except (psycopg.Error, TimeoutError) as error:
            detail = str(error).strip() or type(error).__name__
            raise Transient("the database is unavailable", detail) from error


async def _find(connection: psycopg.AsyncConnection, order_id: UUID) -> Order | None:
    async with connection.cursor(row_factory=class_row(Order)) as cursor:
        return await (await cursor.execute(_FIND, (order_id,))).fetchone()


def _same(kept: Order | None, order: NewOrder) -> bool:
    return kept is not None and (kept.item, kept.quantity) == (order.item, order.quantity)
