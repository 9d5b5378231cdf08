"""etcd, by its v3 JSON gateway: the place where the truth outlives a region.

Source: etcd manual, "API reference: gRPC gateway".
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient


@dataclass(frozen=True)
class Entry:
    """A key's value and the revision that last changed it (0: the key does not exist)."""

    value: str | None
    revision: int


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
        found = self._call("/v3/kv/range", {"key": _encode(key)}).get("kvs", [])
        if not found:
            return Entry(None, 0)
        return Entry(_decode(found[0].get("value", "")), int(found[0]["mod_revision"]))

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

    def swap(self, key: str, value: str, revision: int) -> bool:
        """Write one key if nobody changed it since `revision` (0: if it does not exist).

        Returns:
            whether it was written.

        Raises:
            Transient: no member answered.
        """
        return self._if_unchanged(
            key, revision, {"request_put": {"key": _encode(key), "value": _encode(value)}}
        )

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
        self._members.remove(member)
        self._members.append(member)


def _range(prefix: str) -> dict[str, str]:
    """All keys from a prefix to the first that no longer begins with it."""
    return {"key": _encode(prefix), "range_end": _encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()
