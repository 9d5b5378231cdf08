"""Taking from an iterator in a thread of its own, a little ahead of whoever uses what it gives."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")
_END = object()


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Give the same items, of which up to `depth` wait; what the iterator raises is raised where it is used.

    Args:
        items: taken in another thread, which ends with the block.
        depth: how many may wait.
    """
    waiting: queue.Queue[object] = queue.Queue(depth)
    unwanted = threading.Event()

    def give(item: object) -> bool:
        while not unwanted.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return True
        return False

    def take() -> None:
        try:
            for item in items:
                if not give(item):
                    return
            give(_END)
        except Exception as error:  # noqa: BLE001 -- raised again where it is used
            give(_Failed(error))

    taker = threading.Thread(target=take, name="ahead", daemon=True)
    taker.start()
    try:
        yield _taken(waiting)
    finally:
        unwanted.set()
        taker.join()


def _taken(waiting: "queue.Queue[object]") -> Iterator[T]:
    while (item := waiting.get()) is not _END:
        if isinstance(item, _Failed):
            raise item.error
        yield item  # type: ignore[misc] # what went in
