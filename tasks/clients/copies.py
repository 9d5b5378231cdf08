"""Copying objects from one bucket to another, proven, in bounded memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import obstore

from tasks.clients.objects import Bucket, Entry, checked, plain
from tasks.errors import Permanent, Transient

_MIB = 1024 * 1024
# pgBackRest uploads in parts of 5 MiB; the same parts give the copy the same ETag.
_PART = 5 * _MIB
_SMALL = 16 * _MIB
_SOURCE_ETAG = "source-etag"


class Corrupt(Permanent):
    """The source's object is not what its name, or its point's manifest, promises."""


def is_streamed(entry: Entry) -> bool:
    """Whether an object is copied in parts; the others pass through memory whole."""
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
    if is_streamed(entry):
        # An obstore stream read inside obstore's own synchronous put panics; inside its asynchronous one not.
        asyncio.run(_stream(source, target, entry, promised))
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


async def _stream(source: Bucket, target: Bucket, entry: Entry, promised: str | None) -> None:
    digest = hashlib.sha256()
    with target.told("copy", entry.key):
        done = await obstore.put_async(
            target.store,
            checked(entry.key),
            _chunks(source, entry, digest, promised),
            chunk_size=_part_size(entry),
            max_concurrency=2,
            attributes={_SOURCE_ETAG: entry.etag},
        )
    if plain(done["e_tag"]) != entry.etag:
        _compare(target, entry.key, digest.hexdigest())


async def _chunks(
    source: Bucket, entry: Entry, digest: Any, promised: str | None = None
) -> AsyncIterator[bytes]:
    with source.told("read", entry.key):
        found = await obstore.get_async(source.store, entry.key, options={"if_match": f'"{entry.etag}"'})
        async for chunk in found.stream(min_chunk_size=_part_size(entry)):
            digest.update(chunk)
            yield bytes(chunk)
    # Raised before the upload is completed: the target never has it.
    if promised and digest.hexdigest() != promised:
        raise _corrupt(source, entry.key)


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
    sizes = [size * _MIB for size in (5, 8, 10, 16)]
    fitting = [size for size in sizes if parts and -(-entry.size // size) == int(parts)]
    return max(fitting[0] if fitting else _PART, -(-entry.size // 10_000))
