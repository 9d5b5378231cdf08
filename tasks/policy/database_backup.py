"""From which node a backup is taken, and what speaks against one that was taken. Pure.

Source: pgBackRest user guide, "Backup from a Standby"; command reference, "Info Command: JSON Output".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.clients.patroni import Member
from tasks.clients.serverfacts import ServerFacts

# One WAL segment: what a standby that keeps up may be behind at most.
_CLOSE_BYTES = 16 * 2**20
# Unlogged tables are not in a backup, but less than this part of a cluster is no backup of it.
_PLAUSIBLE = 10


def choose_standby(members: Sequence[Member]) -> str | None:
    """The node to take a backup from: it streams, and closely; one that no commit waits for comes first."""
    close = [m for m in members if not m.leads and m.state == "streaming" and _lag(m) <= _CLOSE_BYTES]
    close.sort(key=lambda member: (member.role == "sync_standby", _lag(member), member.name))
    return close[0].name if close else None


def _lag(member: Member) -> int:
    return _CLOSE_BYTES + 1 if member.lag is None else member.lag


def doubts(
    backup: Mapping[str, Any],
    databases: Sequence[Mapping[str, Any]],
    stored: Mapping[str, int],
    server: ServerFacts,
) -> Iterator[str]:
    """What speaks against a backup that pgBackRest calls complete; nothing where it can be trusted.

    Args:
        backup: as `pgbackrest info` tells it.
        databases: the stanza's, from the same.
        stored: the bytes of its objects in the bucket, by their names in its folder.
        server: the versions of what took it and of what it was taken from.
    """
    if backup["error"]:
        yield "the database has pages whose checksums are wrong"
    if "backup.manifest" not in stored:
        yield "its manifest is not in the bucket"
    expected, found = backup["info"]["repository"]["delta"], sum(stored.values())
    if found < expected:
        yield f"{found} bytes in the bucket, {expected} expected"
    if backup["info"]["size"] * _PLAUSIBLE < server.bytes:
        yield f"it holds {backup['info']['size']} bytes of a cluster of {server.bytes}"
    if backup["backrest"]["version"] != server.pgbackrest:
        yield f"made by pgBackRest {backup['backrest']['version']}, {server.pgbackrest} is installed"
    own = next((each for each in databases if each["id"] == backup["database"]["id"]), None)
    if own is None or own["system-id"] != server.system_id:
        yield f"it is of system {own and own['system-id']}, the server is {server.system_id}"
    elif not own["version"] == server.programs == server.running:
        yield f"PostgreSQL {own['version']} stored, {server.programs} installed, {server.running} running"
