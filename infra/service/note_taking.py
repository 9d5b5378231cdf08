"""Notes are written at once, or queued and written later: each once, in the order in which they came.

Those that wait are drained by whichever instance gets PostgreSQL's lock. It writes a batch, then takes it out
of the queue; where it dies in between, the next one writes the same batch again, and the ids keep it from
being there twice. While notes wait, a new one goes behind them.
"""

from contextlib import suppress
from typing import Literal

from infra.service.database import Database
from infra.service.flags import DEFER_NOTES, READ_ONLY, Flags
from infra.service.notes import Note, Notes
from infra.service.queue import NoteQueue
from infra.service.repeating import repeat
from tasks.errors import Transient

_INTERVAL_S = 0.5


class NoteTaking:
    """Decides where a note goes, and brings home what waits."""

    def __init__(self, database: Database, notes: Notes, queue: NoteQueue, flags: Flags) -> None:
        self._database, self._notes, self._queue, self._flags = database, notes, queue, flags

    async def take(self, note: Note) -> Literal["written", "queued"]:
        """Accept a note.

        Raises:
            Refused: the id is taken by a note that says something else. Of notes that are queued nobody can
                tell: the first one stands.
            Transient: neither the database nor the queue takes it.
        """
        tried = not self._held and not self._database.away and not await self._waiting()
        if tried:
            with suppress(Transient):
                await self._notes.place(note)
                return "written"
        try:
            await self._queue.append(note)
        except Transient:
            if tried or self._flags.on(READ_ONLY):
                raise
            await self._notes.place(note)
            return "written"
        return "queued"

    async def follow(self) -> None:
        """Bring home what waits, for ever."""
        await repeat(self._drain_all, _INTERVAL_S)

    async def _drain_all(self) -> None:
        while not self._held and await self._drain():
            pass

    @property
    def _held(self) -> bool:
        return self._flags.on(READ_ONLY) or self._flags.on(DEFER_NOTES)

    async def _waiting(self) -> bool:
        try:
            return await self._queue.length() > 0
        except Transient:
            return False

    async def _drain(self) -> bool:
        """Write the oldest notes; whether there may be more."""
        entries = await self._queue.oldest()
        if not entries or not await self._notes.place_all(list(entries.values())):
            return False
        await self._queue.forget(list(entries))
        return True
