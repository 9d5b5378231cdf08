"""A snapshot of a Redis server, streamed as a replica receives it: nothing touches the server's disk.

The server forks, and what arrives is its whole data at exactly the replication offset that it names first.
Source: Redis manual, "Replication", "Replication handshake"; RDB-only replicas, Redis 7.0 release notes.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_PORT = 6379
_READ = 256 * 1024
_MARK = 40
_CONNECT_S = 3.0
# The server waits for further replicas (repl-diskless-sync-delay) and forks before it sends anything.
_SILENCE_S = 60.0


@dataclass(frozen=True)
class Snapshot:
    """One snapshot as it arrives.

    Attributes:
        replid: the replication history that its offset belongs to.
        offset: the moment of the snapshot, in bytes of that history.
        pieces: the RDB, once.
    """

    replid: str
    offset: int
    pieces: Iterator[bytes]


@contextmanager
def snapshot(plan: Plan, address: str) -> Iterator[Snapshot]:
    """Ask a Redis server for a snapshot.

    Raises:
        Transient: it does not answer, has no master itself, or broke off.
        Permanent: it refuses us.
    """
    try:
        with socket.create_connection((address, _PORT), _CONNECT_S) as connection:
            connection.settimeout(_SILENCE_S)
            stream = _Stream(connection)
            stream.ask("AUTH", plan.secret("redis"))
            # Diskless, and without the writes that follow: the server keeps no buffer for us.
            stream.ask("REPLCONF", "capa", "eof", "capa", "psync2")
            stream.ask("REPLCONF", "rdb-only", "1")
            _, replid, offset = stream.ask("PSYNC", "?", "-1").split()
            yield Snapshot(replid, int(offset), stream.rdb())
    except OSError as error:
        raise Transient(f"Redis at {address} broke off its snapshot", str(error)) from error
    except _Refusal as error:
        passing = str(error).startswith(("NOMASTERLINK", "LOADING", "BUSY"))
        kind = Transient if passing else Permanent
        raise kind(f"Redis at {address} gives no snapshot", str(error)) from None


class _Refusal(Exception):
    """An error reply."""


class _Stream:
    """The replica's end of a replication link."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def ask(self, *words: str) -> str:
        """Send one command; its reply's line."""
        parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
        self._connection.sendall("".join(parts).encode())
        line = self._line()
        if line.startswith("-"):
            raise _Refusal(line[1:200])
        return line

    def rdb(self) -> Iterator[bytes]:
        """The RDB: of a length told before, or ended by a mark told before."""
        head = self._line()
        if head.startswith("-"):
            raise _Refusal(head[1:200])
        if head.startswith("$EOF:"):
            yield from self._until(head.removeprefix("$EOF:").encode())
        else:
            yield from self._exactly(int(head.removeprefix("$")))

    def _exactly(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._some()[:left]
            left -= len(piece)
            yield piece

    def _until(self, mark: bytes) -> Iterator[bytes]:
        """The server sends nothing after the mark, so it stands at an end of what was received."""
        tail = b""
        while tail != mark:
            held = tail + self._some()
            piece, tail = held[:-_MARK], held[-_MARK:]
            if piece:
                yield piece

    def _line(self) -> str:
        """The next line that is not empty: empty ones say that the server is alive."""
        while True:
            while b"\n" not in self._rest:
                self._rest += self._receive()
            line, _, self._rest = self._rest.partition(b"\n")
            if line.strip():
                return line.strip().decode()

    def _some(self) -> bytes:
        piece, self._rest = self._rest or self._receive(), b""
        return piece

    def _receive(self) -> bytes:
        piece = self._connection.recv(_READ)
        if not piece:
            raise ConnectionError("the connection ended early")
        return piece
