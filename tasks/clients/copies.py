"""Copying objects from one bucket to another, proven, in bounded memory."""

import hashlib
from collections.abc import Iterator
from typing import Any

import obstore

from tasks.clients.ahead import ahead
from tasks.clients.objects import Bucket, Entry, checked, plain
from tasks.errors import Permanent, Transient

_MIB = 1024 * 1024
# The same parts give the copy the same ETag; restic uploads in parts of 16 MiB, pgBackRest as it is told to.
_PART = 16 * _MIB
_PARTS = tuple(size * _MIB for size in (32, 16, 10, 8, 5))
_SMALL = 16 * _MIB
# What was uploaded in one part has to be so again.
_WHOLE = 64 * _MIB
_AHEAD = 2
_SOURCE_ETAG = "source-etag"


class Corrupt(Permanent):
    """The source's object is not what its name, or its point's manifest, promises."""


def is_streamed(entry: Entry) -> bool:
    """Whether an object is too large to be one of many in memory."""
    return entry.size > _SMALL or "-" in entry.etag


def copy(source: Bucket, target: Bucket, entry: Entry, promised: str | None = None) -> int:
    """Copy one object as it was listed, a small one as it is now; returns its bytes.

    An equal ETag proves the copy, since its parts are those of the source; where a store's ETags cannot be
    equal, the copy is read back and compared by SHA-256.

    Args:
        source: read.
        target: written.
        entry: the object as the source listed it.
        promised: the SHA-256 that its content must have, in hexadecimal.

    Raises:
        Missing: the source has lost it.
        Corrupt: its content is not what was promised; the target is as it was.
        Transient: a store does not answer, or what arrived is not what was sent.
        Permanent: a store refuses.
    """
    if "-" in entry.etag or entry.size > _WHOLE:
        _stream(source, target, entry, promised)
    else:
        entry, data = source.read(entry.key)
        if promised and hashlib.sha256(data).hexdigest() != promised:
            raise _corrupt(source, entry.key)
        put_copy(target, entry, data)
    return entry.size


def put_copy(target: Bucket, entry: Entry, data: bytes) -> None:
    """Write what `Bucket.read` gave from another bucket.

    Raises:
        Transient: the store does not answer, or what arrived is not what was sent.
        Permanent: the store refuses.
    """
    with target.told("write", entry.key):
        attributes = {_SOURCE_ETAG: entry.etag}
        done = obstore.put(target.store, checked(entry.key), data, use_multipart=False, attributes=attributes)
    if plain(done["e_tag"]) != entry.etag:
        _compare(target, entry.key, hashlib.sha256(data).hexdigest())


def source_of(target: Bucket, key: str) -> str | None:
    """The ETag that an object had where it was copied from; None for what was written here.

    Raises:
        Missing: there is no such object.
        Transient, Permanent: see `copy`.
    """
    with target.told("look at", key):
        found = obstore.get(target.store, checked(key), options={"head": True})
    recorded = found.attributes.get(_SOURCE_ETAG)
    return str(recorded) if recorded is not None else None


def is_copy(target: Bucket, entry: Entry) -> bool:
    """Whether the target's object was copied from just this version, though its ETag cannot be equal.

    Raises:
        Transient, Permanent: see `copy`.
    """
    return bool(entry.etag) and source_of(target, entry.key) == entry.etag


def _stream(source: Bucket, target: Bucket, entry: Entry, promised: str | None) -> None:
    digest = hashlib.sha256()
    # obstore cannot read inside its own write: another thread reads.
    with ahead(_parts_of(source, entry), _AHEAD) as parts, target.told("copy", entry.key):
        given = _Given(_proven(source, entry, parts, digest, promised))
        try:
            done = obstore.put(
                target.store,
                checked(entry.key),
                given,
                chunk_size=_part_size(entry),
                max_concurrency=2,
                attributes={_SOURCE_ETAG: entry.etag},
            )
        except BaseException:
            # obstore wraps what its source raised.
            if given.error:
                raise given.error from None
            raise
    if plain(done["e_tag"]) != entry.etag:
        _compare(target, entry.key, digest.hexdigest())


def _proven(
    source: Bucket, entry: Entry, parts: Iterator[bytes], digest: Any, promised: str | None
) -> Iterator[bytes]:
    """The parts; raises before the upload is completed where they are not what was promised."""
    for part in parts:
        digest.update(part)
        yield part
    if promised and digest.hexdigest() != promised:
        raise _corrupt(source, entry.key)


class _Given:
    """An iterator that remembers what it raised."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


def _parts_of(source: Bucket, entry: Entry) -> Iterator[bytes]:
    with source.told("read", entry.key):
        found = obstore.get(source.store, entry.key, options={"if_match": f'"{entry.etag}"'})
        for part in found.stream(min_chunk_size=_part_size(entry)):
            yield bytes(part)


def _corrupt(source: Bucket, key: str) -> Corrupt:
    hint = "`dr run compare_backups` finds which site has it good"
    return Corrupt(f"{key} in {source.name} is damaged", "its SHA-256 is not the promised one", hint)


def _compare(target: Bucket, key: str, expected: str) -> None:
    digest = hashlib.sha256()
    for chunk in target.stream(key):
        digest.update(chunk)
    if digest.hexdigest() != expected:
        raise Transient(f"the copy of {key} in {target.name} differs from its source", "SHA-256 differs")


def _part_size(entry: Entry) -> int:
    """The part size that gives the source's number of parts, within S3's limit of 10,000."""
    _, _, parts = entry.etag.partition("-")
    fitting = [size for size in _PARTS if parts and -(-entry.size // size) == int(parts)]
    return max(fitting[0] if fitting else _PART, -(-entry.size // 10_000))
