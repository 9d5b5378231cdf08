"""Sealed objects of any size to and from a bucket, in bounded memory, with a SHA-256 of our own."""

import hashlib
from collections.abc import Iterator
from typing import Any

import obstore

from tasks.clients import sealing
from tasks.clients.objects import Bucket, checked
from tasks.clients.sealing import Content, Writer
from tasks.plan.plan import Plan

_MIB = 1024 * 1024
# S3 takes 10,000 parts at most: 160 GB.
_PART = 16 * _MIB
_READ = 4 * _MIB


class Digest:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(data)
        self.size += len(data)

    @property
    def hex(self) -> str:
        """The SHA-256 so far."""
        return self._sha256.hexdigest()


class Both:
    """Writes to two writers."""

    def __init__(self, first: Writer, second: Writer) -> None:
        self._both = first, second

    def write(self, data: bytes) -> None:
        """Give each the data."""
        for each in self._both:
            each.write(data)


def put_sealed(plan: Plan, bucket: Bucket, key: str, content: Content) -> tuple[int, str]:
    """Seal a content into an object; the object's size in bytes and SHA-256.

    Raises:
        Transient, Permanent: see `Bucket` and `sealing.seal`.
        Exception: whatever the content raised.
    """
    digest, upload = Digest(), _Upload(bucket, key)
    sealing.seal(plan, content, Both(upload, digest))
    upload.close()
    return digest.size, digest.hex


def read_stream(bucket: Bucket, key: str, digest: Digest) -> Iterator[bytes]:
    """An object's bytes as they come, hashed on the way.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    with bucket.told("read", key):
        for chunk in obstore.get(bucket.store, checked(key)).stream(min_chunk_size=_READ):
            piece = bytes(chunk)
            digest.write(piece)
            yield piece


def sha256_of(bucket: Bucket, key: str) -> str:
    """The SHA-256 of an object as it is now, all of it read.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    digest = Digest()
    for _ in read_stream(bucket, key, digest):
        pass
    return digest.hex


class _Upload:
    """An object that is being written, in parts where it is large; errors here are the store's."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._into: Any = obstore.open_writer(
            bucket.store, checked(key), buffer_size=_PART, max_concurrency=2
        )

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        with self._bucket.told("write", self._key):
            self._into.write(data)

    def close(self) -> None:
        """Write what is left; the object is there now."""
        with self._bucket.told("write", self._key):
            self._into.close()
