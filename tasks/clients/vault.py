"""The archive's own bucket: copies made inside the store, and retention that nobody can shorten.

Source: Amazon S3 API reference, "CopyObject", "UploadPartCopy", "PutObjectRetention".
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tasks.clients.buckets import control_plane, told
from tasks.clients.objects import Bucket, Entry
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_THREADS = 8
# A part is copied well within the deadline of a request; pgBackRest's objects have 1 GiB at most.
_PART = 64 * 1024 * 1024
_PARTS = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=2)

_NEVER = datetime.fromtimestamp(0, UTC)

Moved = tuple[Entry, str]


class Vault:
    """The archive site's bucket, as its owner."""

    def __init__(self, plan: Plan, site: str) -> None:
        """Nothing is asked yet."""
        self.bucket = Bucket.owned(plan, site)
        self._name = plan.sites[site].storage.bucket
        self._client = control_plane(plan, site)

    def set_apart(self, moves: Sequence[Moved], until: datetime, tell: Callable[[int], None]) -> None:
        """Copy objects inside the bucket, and lock each copy until a moment; what is there stays.

        Args:
            moves: the objects as they were listed, and the key of each one's copy.
            until: compliance retention, to the second; never shortened where it is longer already.
            tell: told the bytes of each object that is done.

        Raises:
            Transient: the store does not answer, or an object expired meanwhile: list again.
            Permanent: the store refuses, or a copy is not what was copied.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            for size in pool.map(lambda move: self._one(move, until), moves):
                tell(size)

    def lock(self, key: str, until: datetime) -> None:
        """Let nobody delete or overwrite the newest version of an object before a moment.

        Raises:
            Transient, Permanent: see `set_apart`.
        """
        with told(f"{key} in {self._name}"):
            if (self._locked_until(key) or _NEVER) >= until:
                return
            retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
            self._client.put_object_retention(Bucket=self._name, Key=key, Retention=retention)
            if (self._locked_until(key) or _NEVER) < until:
                raise Permanent(f"{key} in {self._name} is not locked", f"until {until:%Y-%m-%d}")

    def locked_until(self, key: str) -> datetime | None:
        """Until when nobody can delete the newest version of an object; None where anybody can.

        Raises:
            Transient, Permanent: see `set_apart`.
        """
        with told(f"{key} in {self._name}"):
            return self._locked_until(key)

    def _one(self, move: Moved, until: datetime) -> int:
        entry, key = move
        with told(f"{key} in {self._name}"):
            if not self._is_there(entry, key):
                self._copy(entry, key, until)
        # Looked at after the copy: a store may take the lock's headers and not mean them.
        self.lock(key, until)
        return entry.size

    def _copy(self, entry: Entry, key: str, until: datetime) -> None:
        try:
            if entry.size < _PART:
                self._copy_small(entry, key, until)
            else:
                self._client.copy({"Bucket": self._name, "Key": entry.key}, self._name, key, Config=_PARTS)
        except ClientError as error:
            if _is_missing(error):
                raise Transient(f"{entry.key} expired while it was set apart", str(error)) from error
            raise
        if entry.size >= _PART and not self._is_there(entry, key):
            raise Permanent(f"the copy {key} in {self._name} is not {entry.key}")

    def _copy_small(self, entry: Entry, key: str, until: datetime) -> None:
        done = self._client.copy_object(
            Bucket=self._name,
            Key=key,
            CopySource={"Bucket": self._name, "Key": entry.key},
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
        )
        if not _alike(done["CopyObjectResult"]["ETag"], entry.etag):
            raise Transient(f"{entry.key} changed while it was set apart", "its ETag is another")

    def _is_there(self, entry: Entry, key: str) -> bool:
        try:
            found = self._client.head_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return False
            raise
        return bool(found["ContentLength"] == entry.size and _alike(found["ETag"], entry.etag))

    def _locked_until(self, key: str) -> datetime | None:
        try:
            found: dict[str, Any] = self._client.get_object_retention(Bucket=self._name, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchObjectLockConfiguration":
                return None
            raise
        retention = found["Retention"]
        until: datetime = retention["RetainUntilDate"]
        # A store may keep whole seconds only.
        return until + timedelta(seconds=1) if retention["Mode"] == "COMPLIANCE" else None


def _alike(one: str, other: str) -> bool:
    """Whether two ETags do not contradict each other: those of objects made in parts cannot be compared."""
    plain = one.strip('"'), other.strip('"')
    return plain[0] == plain[1] or any("-" in each for each in plain)


def _is_missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in {"404", "NoSuchKey"}
