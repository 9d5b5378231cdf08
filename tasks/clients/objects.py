"""The object store's data plane: one site's bucket, with bounded memory, timeouts and our own errors.

obstore does the work: of the clients measured (rclone, boto3, s5cmd) it needed the least CPU for many small
objects and for a pass that changes nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore import exceptions
from obstore.store import S3Store

from tasks.clients.telemetry.spans import called
from tasks.errors import Permanent, Transient
from tasks.plan.references import Credentials

if TYPE_CHECKING:
    from obstore import PutMode  # in its stubs only, as is
    from obstore.store import ClientConfig

    # Its models take as long to be made as twenty thousand objects to be listed; a pull needs none of them.
    from tasks.plan.plan import Plan

_STATUS = re.compile(r"status code: (\d{3})|\(code: (AccessDenied)\)")


class Missing(Permanent):
    """There is no such object."""


@dataclass(frozen=True)
class Location:
    """One bucket as one identity sees it; `ca_certificate` is PEM text, empty for public authorities."""

    endpoint: str
    bucket: str
    region: str
    credentials: Credentials
    ca_certificate: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its size in bytes, and the store's ETag without quotes."""

    key: str
    size: int
    etag: str
    modified: datetime


class Bucket:
    """One bucket.

    Every method raises Transient when the store is unreachable, slow or failing (5xx), and Permanent when it
    refuses; each names the bucket and the key.
    """

    def __init__(self, location: Location, timeout: float = 10) -> None:
        """Nothing is asked yet.

        Args:
            location: the bucket.
            timeout: seconds for one request with its body, and for its retries together.
        """
        self.name = location.bucket
        self.store = _store(location, timeout)

    @classmethod
    def owned(cls, plan: "Plan", site: str, timeout: float = 10) -> Self:
        """A site's bucket as its owner, who writes it."""
        return cls(location_of(plan, site, plan.sites[site].storage.owner), timeout)

    @classmethod
    def readable(cls, plan: "Plan", site: str, timeout: float = 10) -> Self:
        """A site's bucket as its reader: what another site pulls with."""
        return cls(location_of(plan, site, plan.sites[site].storage.reader), timeout)

    @classmethod
    def public(cls, plan: "Plan", site: str, timeout: float = 10) -> Self:
        """A site's status bucket as its owner, who alone writes it.

        Raises:
            Permanent: the plan gives the site none.
        """
        return cls(public_location(plan, site), timeout)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Everything below a prefix of whole path segments, a page at a time."""
        with self.told("list", prefix):
            for page in obstore.list(self.store, prefix or None, chunk_size=1000):
                yield from (entry_of(meta) for meta in page)

    def children(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """The folders and the objects directly below a prefix; folders without their trailing slash."""
        with self.told("list", prefix):
            found = obstore.list_with_delimiter(self.store, prefix or None)
        return list(found["common_prefixes"]), [entry_of(meta) for meta in found["objects"]]

    def get(self, key: str) -> bytes:
        """An object's whole content; only for what is known to be small."""
        return self.read(key)[1]

    def read(self, key: str) -> tuple[Entry, bytes]:
        """An object's whole content and the version of it that was read."""
        with self.told("read", key):
            found = obstore.get(self.store, checked(key))
            return entry_of(found.meta), bytes(found.bytes())

    def stream(self, key: str) -> Iterator[bytes]:
        """An object's content in pieces of some MiB, however large it is."""
        with self.told("read", key):
            for chunk in obstore.get(self.store, checked(key)).stream(min_chunk_size=4 * 1024 * 1024):
                yield bytes(chunk)

    def head(self, key: str) -> Entry:
        """An object's size and ETag."""
        with self.told("look at", key):
            return entry_of(obstore.head(self.store, checked(key)))

    def put(self, key: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Write an object, whatever was there; `headers` such as Content-Type go with it to its readers."""
        with self.told("write", key):
            obstore.put(self.store, checked(key), data, attributes=dict(headers or {}), use_multipart=False)

    def replace(self, key: str, data: bytes, seen: str | None, headers: Mapping[str, str]) -> bool:
        """Write an object only over the version of that ETag (If-Match), or where there is none for None.

        Returns:
            False if it is another version by now.
        """
        mode: PutMode = "create" if seen is None else {"e_tag": f'"{seen}"'}
        with self.told("replace", key):
            try:
                obstore.put(self.store, checked(key), data, attributes=dict(headers), mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return False
            return True

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only where there is none (If-None-Match); False if there is one."""
        with self.told("create", key):
            try:
                obstore.put(self.store, checked(key), data, mode="create")
            except exceptions.AlreadyExistsError:
                return False
            return True

    def delete(self, key: str) -> None:
        """Delete an object; no error if there is none."""
        with self.told("delete", key):
            obstore.delete(self.store, checked(key))

    @contextmanager
    def told(self, act: str, key: str) -> Iterator[None]:
        """Turn obstore's errors into ours, naming the bucket and the key."""
        try:
            with called(f"s3 {act}", {"aws.s3.bucket": self.name, "aws.s3.key": key}):
                yield
        except FileNotFoundError as error:
            raise Missing(f"there is no {key or 'bucket'} in {self.name}", _first_line(error)) from error
        except exceptions.PreconditionError as error:
            raise Transient(f"{key} in {self.name} changed meanwhile", _first_line(error)) from error
        # What a writer or a stream of obstore meets comes as an OSError.
        except (exceptions.BaseError, OSError) as error:
            raise _refused(f"cannot {act} {key or 'objects'} in bucket {self.name}", error) from error


def location_of(plan: "Plan", site: str, reference: str) -> Location:
    """A site's bucket as the identity behind a credential reference sees it.

    Raises:
        Permanent: the credentials or the CA certificate cannot be read.
    """
    storage = plan.sites[site].storage
    return Location(
        endpoint=storage.endpoint,
        bucket=storage.bucket,
        region=site,
        credentials=plan.credentials(reference),
        ca_certificate=plan.secret("ca_certificate"),
    )


def public_location(plan: "Plan", site: str) -> Location:
    """A site's status bucket as its owner sees it.

    Raises:
        Permanent: the plan gives the site none, or its credentials or the CA certificate cannot be read.
    """
    storage = plan.sites[site].storage
    if storage.status_bucket is None:
        raise Permanent(f"{site} has no status bucket", hint=f"see sites.{site}.storage.status_bucket")
    return replace(location_of(plan, site, storage.owner), bucket=storage.status_bucket)


@lru_cache(maxsize=32)
def _store(location: Location, timeout: float) -> S3Store:
    """One store, and with it its open connections, for all who look at the same bucket."""
    options: ClientConfig = {"connect_timeout": "2s", "timeout": f"{timeout:g}s", "read_timeout": "30s"}
    if location.ca_certificate:
        options["root_certificate"] = location.ca_certificate
    wait = timedelta(milliseconds=100), timedelta(seconds=1)
    return S3Store(
        bucket=location.bucket,
        endpoint=location.endpoint,
        region=location.region,
        access_key_id=location.credentials.access_key,
        secret_access_key=location.credentials.secret_key,
        # A bucket with object lock takes no write without a checksum.
        checksum_algorithm="SHA256",
        client_options=options,
        retry_config={
            "max_retries": 2,
            "retry_timeout": timedelta(seconds=timeout),
            "backoff": {"init_backoff": wait[0], "max_backoff": wait[1], "base": 2},
        },
    )


def checked(key: str) -> str:
    """Refuse keys that a store would silently alter."""
    segments = key.split("/")
    if "" in segments or "." in segments or ".." in segments:
        raise Permanent(
            f"{key!r} is not a safe key", hint="no empty, '.' or '..' segment, no slash at an end"
        )
    return key


def entry_of(meta: Any) -> Entry:
    """An object as obstore describes it."""
    return Entry(meta["path"], meta["size"], plain(meta["e_tag"]), meta["last_modified"])


def plain(etag: str | None) -> str:
    """An ETag without its quotes."""
    return (etag or "").strip('"')


def _first_line(error: Exception) -> str:
    return str(error).partition("\n\nDebug source")[0][:500]


def _refused(message: str, error: Exception) -> Permanent | Transient:
    text = _first_line(error)
    found = _STATUS.search(text)
    status = 403 if found and found[2] else int(found[1]) if found else 0
    denied = isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError))
    if denied or status in {401, 403}:
        return Permanent(message, f"access denied: {text}", "check the site's credential references")
    if "certificate" in str(error).lower():
        return Permanent(message, f"its certificate is not trusted: {text}", "check secrets.ca_certificate")
    if 400 <= status < 500 and status not in {408, 429}:
        return Permanent(message, text)
    return Transient(message, text, "is the site's store up?")
