"""Notes on orders in PostgreSQL: what the business can wait for, unlike the orders themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from psycopg.rows import class_row
from pydantic import Field

from infra.service.database import Database
from tasks.errors import Refused
from tasks.plan.base import Block

_LOCK = "select pg_try_advisory_xact_lock(hashtext('order_notes'))"
# One statement, in the order in which they were accepted: `position` is given out in that order.
_INSERT = """
    insert into order_notes (id, order_id, note, accepted_at)
    select id, order_id, note, accepted_at
    from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[]) with ordinality
        as accepted (id, order_id, note, accepted_at, place)
    order by place
    on conflict (id) do nothing
"""
_SAME = "select 1 from order_notes where id = %s and order_id = %s and note = %s"
# By its moment: a note may have been written while earlier ones waited in a queue that did not answer.
_OF_ORDER = """
    select id, order_id, note, accepted_at from order_notes where order_id = %s order by accepted_at, position
"""


class NewNote(Block):
    """A note as its client writes it; the id is the client's, so that a repetition changes nothing."""

    id: UUID
    note: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]


class Note(NewNote):
    """A note as it is kept; its order need not be: a failover may have lost it."""

    order_id: UUID
    accepted_at: datetime

    @classmethod
    def accepted(cls, order_id: UUID, note: NewNote) -> "Note":
        """A note on an order, accepted at this moment."""
        return cls(id=note.id, note=note.note, order_id=order_id, accepted_at=datetime.now(UTC))


class Notes:
    """The table of notes; every method raises Transient where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, note: Note) -> None:
        """Keep a note; returns after its COMMIT.

        Raises:
            Refused: the id is taken by a note that says something else.
        """
        async with self._database.connection() as connection, connection.transaction():
            done = await connection.execute(_INSERT, _columns([note]))
            if done.rowcount == 0:
                same = await connection.execute(_SAME, (note.id, note.order_id, note.note))
                if await same.fetchone() is None:
                    raise Refused("a note of this id says something else", str(note.id))

    async def place_all(self, notes: Sequence[Note]) -> bool:
        """Keep queued notes in their order, those that are there already as they are.

        Returns:
            whether it was done; not while another instance is at it.
        """
        async with self._database.connection() as connection, connection.transaction():
            row = await (await connection.execute(_LOCK)).fetchone()
            if row != (True,):
                return False
            await connection.execute(_INSERT, _columns(notes))
        return True

    async def of_order(self, order_id: UUID) -> list[Note]:
        """The notes on an order, in the order in which they were accepted."""
        async with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Note)) as cursor,
        ):
            return await (await cursor.execute(_OF_ORDER, (order_id,))).fetchall()


def _columns(notes: Sequence[Note]) -> tuple[list[object], ...]:
    return (
        [note.id for note in notes],
        [note.order_id for note in notes],
        [note.note for note in notes],
        [note.accepted_at for note in notes],
    )
