"""etcd, by its v3 JSON gateway: the place where the truth outlives a region.

Source: etcd manual, "API reference: gRPC gateway".
"""

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient


@dataclass(frozen=True)
class Entry:
    """A key's value, the revision that last changed it (0: there is no such key), and its lease (0: none)."""

    value: str | None
    revision: int
    lease: int = 0


class Etcd:
    """A client of the members in the given order; the first that answers is used.

    Args:
        members: addresses, nearest first.
        timeout: seconds for one request to one member.
    """

    def __init__(self, members: Sequence[str], timeout: float = 3.0) -> None:
        self._members = list(members)
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, 1.0))

    def get(self, key: str) -> Entry:
        """Read one key, linearizably: a member without quorum does not answer.

        Raises:
            Transient: no member answered.
        """
        return _entry(self._call("/v3/kv/range", {"key": _encode(key)}))

    def get_all(self, keys: Sequence[str]) -> list[Entry]:
        """Read several keys as they are at one moment, linearizably.

        Raises:
            Transient: no member answered.
        """
        ranges = [{"request_range": {"key": _encode(key)}} for key in keys]
        answers = self._call("/v3/kv/txn", {"success": ranges})["responses"]
        return [_entry(answer["response_range"]) for answer in answers]

    def unrenewed_s(self, lease: int) -> int | None:
        """For how many seconds a lease was not renewed; None where it has ended.

        The members that elect a new leader renew every lease.

        Raises:
            Transient: no member answered.
        """
        answer = self._call("/v3/lease/timetolive", {"ID": str(lease)})
        granted, left = int(answer.get("grantedTTL", 0)), int(answer.get("TTL", 0))
        return granted - left if granted and left >= 0 else None

    def grant(self, ttl_s: int) -> int:
        """Begin a lease that ends after so many seconds without being renewed; its id.

        Raises:
            Transient: no member answered.
        """
        return int(self._call("/v3/lease/grant", {"TTL": ttl_s})["ID"])

    def renew(self, lease: int) -> bool:
        """Renew a lease; whether there was one to renew.

        Raises:
            Transient: no member answered.
        """
        answer = self._call("/v3/lease/keepalive", {"ID": str(lease)})
        if "result" not in answer:  # a stream tells its errors in a good answer
            raise Transient("etcd renews no lease", str(answer.get("error", "")))
        return int(answer["result"].get("TTL", 0)) > 0

    def revoke(self, lease: int) -> None:
        """End a lease, and remove the keys that were written with it.

        Raises:
            Transient: no member answered, or it has ended already.
        """
        self._call("/v3/lease/revoke", {"ID": str(lease)})

    def below(self, prefix: str) -> dict[str, Entry]:
        """Every key that begins with a prefix, linearizably.

        Raises:
            Transient: no member answered.
        """
        found = self._call("/v3/kv/range", _range(prefix)).get("kvs", [])
        return {
            _decode(each["key"]): Entry(_decode(each.get("value", "")), int(each["mod_revision"]))
            for each in found
        }

    def put(self, key: str, value: str) -> None:
        """Write one key.

        Raises:
            Transient: no member answered.
        """
        self._call("/v3/kv/put", {"key": _encode(key), "value": _encode(value)})

    def swap(self, key: str, value: str, revision: int, lease: int = 0) -> bool:
        """Write one key if nobody changed it since `revision` (0: if it does not exist).

        Args:
            key: the key.
            value: its new value.
            revision: that of the value that was read.
            lease: with whose end the key goes; 0 for none.

        Returns:
            whether it was written.

        Raises:
            Transient: no member answered.
        """
        put = {"key": _encode(key), "value": _encode(value), "lease": str(lease)}
        return self._if_unchanged(key, revision, {"request_put": put})

    def remove(self, key: str, revision: int) -> bool:
        """Remove one key if nobody changed it since `revision`.

        Returns:
            whether it was removed.

        Raises:
            Transient: no member answered.
        """
        return self._if_unchanged(key, revision, {"request_delete_range": {"key": _encode(key)}})

    def healthy_members(self) -> list[str]:
        """The members that see a leader."""
        healthy = []
        for member in self._members:
            try:
                answer = request("GET", f"http://{member}:2379/health", timeout=self._timeout)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK and answer.json().get("health") == "true":
                healthy.append(member)
        return healthy

    def _if_unchanged(self, key: str, revision: int, act: dict[str, Any]) -> bool:
        unchanged = {"key": _encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
        answer = self._call("/v3/kv/txn", {"compare": [unchanged], "success": [act]})
        return bool(answer.get("succeeded", False))

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        failures = []
        for member in list(self._members):
            try:
                answer = request("POST", f"http://{member}:2379{path}", json=body, timeout=self._timeout)
            except httpx.HTTPError as error:
                failures.append(f"{member}: {type(error).__name__}")
                self._demote(member)
                continue
            if answer.status_code == httpx.codes.OK:
                return dict(answer.json())
            failures.append(f"{member}: {answer.status_code} {answer.text.strip()[:200]}")
            if answer.status_code == httpx.codes.BAD_REQUEST:
                raise Permanent("etcd refused the request", failures[-1])
        raise Transient("etcd does not answer", "; ".join(failures), "two of three members must be up")

    def _demote(self, member: str) -> None:
        """Ask a member that failed last from now on."""
        with suppress(ValueError):  # another thread is at it
            self._members.remove(member)
            self._members.append(member)


def _entry(answer: dict[str, Any]) -> Entry:
    found = answer.get("kvs", [])
    if not found:
        return Entry(None, 0)
    value, revision, lease = (found[0].get(name, 0) for name in ("value", "mod_revision", "lease"))
    return Entry(_decode(value or ""), int(revision), int(lease))


def _range(prefix: str) -> dict[str, str]:
    """All keys from a prefix to the first that no longer begins with it."""
    return {"key": _encode(prefix), "range_end": _encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()
