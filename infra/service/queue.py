"""Notes that wait for the database, in a stream of the site's Redis.

A note is accepted once the master has it; the master writes it to its file within a second, and sends it to
its replicas in the site and in the other region at once, without waiting for either. So what was accepted and
is not yet in PostgreSQL is lost where the master's machine dies within that second, and where the whole
region dies, as far as it had not reached the other one: milliseconds of notes, or as much as the replication
was behind. That is why orders are never queued.
"""

from typing import Any

from pydantic import ValidationError

from infra.service.notes import Note
from infra.service.redis_master import RedisMaster
from tasks.errors import Transient

# The same hash tag: in a cluster both lie in one slot, and can be changed as one.
_QUEUE, _UNREADABLE = "{notes}:queue", "{notes}:unreadable"
_BATCH = 100
# About 50 MB at the longest notes, of the 256 MB that Redis has.
_LONGEST = 50_000


class NoteQueue:
    """The stream; every method raises Transient where Redis cannot be used."""

    def __init__(self, master: RedisMaster) -> None:
        self._master = master

    async def length(self) -> int:
        """How many notes wait."""
        async with self._master.asked() as master:
            return int(await master.xlen(_QUEUE))

    async def append(self, note: Note) -> None:
        """Accept a note.

        Raises:
            Transient: too many wait already, or Redis cannot be used.
        """
        if await self.length() >= _LONGEST:
            raise Transient("too many notes wait for the database", f"{_LONGEST}")
        async with self._master.asked() as master:
            await master.xadd(_QUEUE, {"note": note.model_dump_json()})

    async def oldest(self) -> dict[bytes, Note]:
        """The first hundred by their places; what is no note is set aside, so that it holds nothing up."""
        async with self._master.asked() as master:
            entries: Any = await master.xrange(_QUEUE, count=_BATCH)
        found = {}
        for place, fields in entries:
            try:
                found[place] = Note.model_validate_json(fields[b"note"])
            except (KeyError, ValidationError):
                await self._set_aside(place, fields)
        return found

    async def forget(self, places: list[bytes]) -> None:
        """Take notes out that PostgreSQL has."""
        async with self._master.asked() as master:
            await master.xdel(_QUEUE, *places)

    async def _set_aside(self, place: bytes, fields: Any) -> None:
        async with self._master.asked() as master, master.pipeline(transaction=True) as both:
            both.xadd(_UNREADABLE, fields)
            both.xdel(_QUEUE, place)
            await both.execute()
