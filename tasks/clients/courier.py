"""Many objects from one bucket to another at once, while they are still being listed."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tasks.clients.copies import Corrupt, copy, is_copy, is_streamed
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.errors import Transient

# 16 threads measured best for small objects; streamed ones hold some 25 MiB each.
_SMALL_THREADS, _STREAM_THREADS = 16, 4
# Enough to keep the threads busy while a page is listed, and little memory at any number of keys.
_WINDOW = 4

Progress = Callable[[int, int], None]
Promise = Callable[[Entry], str | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One object to copy.

    Attributes:
        entry: as the source listed it.
        held: what the copy has instead.
        final: whether what the copy has may never be overwritten.
    """

    entry: Entry
    held: Entry | None
    final: bool


@dataclass
class Carried:
    """What a courier did so far."""

    objects: int = 0
    bytes: int = 0
    same: int = 0
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Courier:
    """Copies what it is sent, small objects on many threads, large ones as streams on a few.

    At most a few objects for each thread wait; `send` blocks until there is room. Used as a context: leaving
    it on an error gives up what waits.
    """

    def __init__(
        self, source: Bucket, target: Bucket, promised: Promise, progress: Progress | None = None
    ) -> None:
        """Nothing is copied yet.

        Args:
            source: read.
            target: written.
            promised: the SHA-256 that an object's content must have, where that is known.
            progress: told of the bytes done and the bytes to do, as far as they are known.
        """
        self._sides = source, target
        self._promised = promised
        self._progress = progress
        self._small = _Lane(_SMALL_THREADS)
        self._streams = _Lane(_STREAM_THREADS)
        self._lock = threading.Lock()
        self._expected = 0
        self._done = 0
        self.carried = Carried()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._small.close()
        self._streams.close()

    def send(self, items: Iterable[Item]) -> None:
        """Copy some objects, in no order; returns when the last of them is on its way.

        Raises:
            Transient: a store does not answer, or the source removed an object meanwhile: list it again.
            Permanent: a store refuses.
        """
        for item in items:
            self._expected += item.entry.size
            lane = self._streams if is_streamed(item.entry) else self._small
            lane.submit(self._bring, item)

    def arrive(self) -> None:
        """Wait until everything that was sent has arrived.

        Raises:
            Transient, Permanent: see `send`.
        """
        self._small.drain()
        self._streams.drain()

    def _bring(self, item: Item) -> None:
        try:
            copied = self._one(item)
        except Missing as error:
            hint = "a backup expired meanwhile; the next pass lists anew"
            raise Transient("the source changed while it was copied", error.message, hint) from error
        with self._lock:
            self._count(item, copied)
            if self._progress:
                self._progress(self._done, self._expected)

    def _one(self, item: Item) -> int | str:
        entry, held = item.entry, item.held
        source, target = self._sides
        if held is not None and held.size == entry.size and is_copy(target, entry):
            return "same"
        if item.final:
            return "conflict"
        try:
            return copy(source, target, entry, self._promised(entry))
        except Corrupt:
            return "refused"

    def _count(self, item: Item, copied: int | str) -> None:
        carried = self.carried
        self._done += item.entry.size
        if isinstance(copied, int):
            carried.objects += 1
            carried.bytes += copied
        elif copied == "same":
            carried.same += 1
        else:
            (carried.conflicts if copied == "conflict" else carried.refused).append(item.entry.key)


class _Lane:
    """Some threads and a short queue before them; their errors reach who submits or drains."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: deque[Future[None]] = deque()
        self._most = threads * _WINDOW

    def submit(self, act: Callable[[Item], None], item: Item) -> None:
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(act, item))

    def drain(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
