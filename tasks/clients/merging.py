"""Listings of several buckets side by side, in the memory of one page each.

S3 lists in the order of the keys' bytes. A store that follows folders instead (SeaweedFS lists `a/b` before
`a-b`) is found out, and that part of the listing sorted in memory.
Source: Amazon S3 API reference, "ListObjectsV2".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice

from tasks.clients.ahead import ahead
from tasks.clients.objects import Bucket, Entry

_PAGE, _AHEAD = 1000, 2
Pair = tuple[Entry | None, Entry | None]


class _UnorderedError(Exception):
    """A listing that is not in the order of its keys."""


def merged(sides: Sequence[Iterable[Entry]]) -> Iterator[tuple[Entry | None, ...]]:
    """Every key of any side once, in order, with each side's entry or None; the sides must be in order."""
    streams = [iter(side) for side in sides]
    heads = [next(stream, None) for stream in streams]
    while True:
        keys = [head.key for head in heads if head is not None]
        if not keys:
            return
        least = min(keys)
        row = tuple(head if head is not None and head.key == least else None for head in heads)
        yield row
        heads = [
            head if seen is None else next(streams[at], None)
            for at, (head, seen) in enumerate(zip(heads, row, strict=True))
        ]


def side_by_side(buckets: Sequence[Bucket], prefix: str) -> Iterator[tuple[Entry | None, ...]]:
    """What several buckets hold below a prefix, key by key.

    A key comes once, but where a store lists out of order, those before the first such key come twice.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    try:
        with ExitStack() as listings:
            # Each store lists while the others do.
            pages = [listings.enter_context(ahead(_pages(bucket, prefix), _AHEAD)) for bucket in buckets]
            yield from merged([_ascending(chain.from_iterable(each)) for each in pages])
    except _UnorderedError:
        yield from merged([_sorted(bucket.list(prefix)) for bucket in buckets])


def pairs_of(source: Iterable[Entry], held: Mapping[str, Entry]) -> Iterator[Pair]:
    """A short listing beside what a copy holds of it."""
    return ((entry, held.get(entry.key)) for entry in _sorted(source))


def _pages(bucket: Bucket, prefix: str) -> Iterator[list[Entry]]:
    entries = bucket.list(prefix)
    while page := list(islice(entries, _PAGE)):
        yield page


def _ascending(entries: Iterable[Entry]) -> Iterator[Entry]:
    last = ""
    for entry in entries:
        if entry.key <= last:
            raise _UnorderedError(entry.key)
        last = entry.key
        yield entry


def _sorted(entries: Iterable[Entry], by: Callable[[Entry], str] = lambda entry: entry.key) -> list[Entry]:
    return sorted(entries, key=by)
