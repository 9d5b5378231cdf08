"""Orders in PostgreSQL."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from pydantic import Field

from infra.service.database import Database
from tasks.errors import Refused, Transient
from tasks.plan.base import Block

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
        self._database = database

    async def place(self, order: NewOrder) -> None:
        """Keep an order; returns only after PostgreSQL has confirmed its COMMIT.

        Raises:
            Refused: the id is taken by an order that says something else.
        """
        async with self._database.connection() as connection, connection.transaction():
            done = await connection.execute(_INSERT, (order.id, order.item, order.quantity))
            if done.rowcount == 0 and not _same(await _find(connection, order.id), order):
                raise Refused("an order of this id says something else", str(order.id))

    async def find(self, order_id: UUID) -> Order | None:
        """The order of an id."""
        async with self._database.connection() as connection:
            return await _find(connection, order_id)

    async def latest(self, limit: int) -> list[Order]:
        """The latest orders, newest first."""
        async with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Order)) as cursor,
        ):
            return await (await cursor.execute(_LATEST, (limit,))).fetchall()

    async def check(self) -> None:
        """Prove that this service's user can write here: a standby answers `select 1` as well.

        Raises:
            Transient: it cannot.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_WRITABLE)).fetchone()
        if row != (True,):
            self._database.away = True
            raise Transient("the database takes no orders", "a standby, read-only, or insert is not granted")


async def _find(connection: psycopg.AsyncConnection, order_id: UUID) -> Order | None:
    async with connection.cursor(row_factory=class_row(Order)) as cursor:
        return await (await cursor.execute(_FIND, (order_id,))).fetchone()


def _same(kept: Order | None, order: NewOrder) -> bool:
    return kept is not None and (kept.item, kept.quantity) == (order.item, order.quantity)
