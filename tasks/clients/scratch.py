"""A Redis server of our own for a moment: it loads a snapshot from memory and says what is in it.

It is fed as a replica is, so the snapshot in the clear touches no disk, its CRC-64 is checked by Redis
itself, and keys that expire stay where they are: a replica leaves expiry to its master. So two loads of one
snapshot are equal whenever they happen.
Source: Redis manual, "Replication"; redis.conf, repl-diskless-load; DEBUG DIGEST.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.errors import Permanent, Transient

_PREFIX = "dr-redis-"
_START_S = 20.0
_MARK = 40
# Without a byte for so long it gives the snapshot up.
_PATIENCE_S = 60
_ASK_S = 2.0
_READ = 4096
_CONFIG = """\
port 0
unixsocket {directory}/redis.sock
unixsocketperm 700
dir {directory}
save ""
appendonly no
enable-debug-command local
repl-diskless-load on-empty-db
repl-timeout {patience}
masterauth {password}
replicaof 127.0.0.1 {port}
"""


@dataclass(frozen=True)
class Dataset:
    """What a Redis server holds: the number of its keys, and a digest that no order changes.

    The digest is over keys, values, and which keys expire; not over when.
    """

    keys: int
    digest: str


class Scratch:
    """A server that is being fed.

    Attributes:
        socket: where it listens.
    """

    def __init__(self, directory: Path, link: socket.socket, timeout: float) -> None:
        self.socket = directory / "redis.sock"
        self._link = link
        self._timeout = timeout
        self._mark = secrets.token_hex(_MARK // 2).encode()
        self._link.sendall(b"+FULLRESYNC " + b"0" * 40 + b" 0\r\n$EOF:" + self._mark + b"\r\n")

    def write(self, data: bytes) -> None:
        """Feed the next bytes of the snapshot.

        Raises:
            Permanent: it does not take them: they are no snapshot that this Redis can read.
        """
        try:
            self._link.sendall(data)
        except OSError as error:
            raise _unreadable(str(error)) from error

    def loaded(self) -> Dataset:
        """End the snapshot, wait until it is loaded, and say what is in it.

        Raises:
            Permanent: it was not whole, its checksum is wrong, or this Redis cannot read it.
            Transient: the time is over.
        """
        self.write(self._mark)
        deadline = time.monotonic() + self._timeout
        while not self._is_loaded():
            if self._dropped():
                raise _unreadable("it gave the snapshot up: not whole, or its checksum is wrong")
            if time.monotonic() > deadline:
                raise Transient(f"the scratch Redis did not load within {self._timeout:g} s")
            time.sleep(0.02)
        with self.client() as client:
            return dataset(client)

    def promote(self) -> None:
        """Make it a server of its own: keys that expire go from now on."""
        with self.client() as client:
            client.replicaof("NO", "ONE")

    @contextmanager
    def client(self, timeout: float | None = None) -> Iterator["redis.Redis"]:
        """A connection to it; `timeout` in seconds, where not the scratch server's own.

        Raises:
            Transient: it does not answer.
        """
        client = redis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=timeout or self._timeout,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise Transient("the scratch Redis does not answer", str(error)) from error
        finally:
            client.close()

    def _is_loaded(self) -> bool:
        """Whether it says so; while it loads it may say nothing."""
        with suppress(redis.BusyLoadingError, Transient), self.client(_ASK_S) as client:
            return bool(client.info("replication")["master_link_status"] == "up")
        return False

    def _dropped(self) -> bool:
        """Whether it closed its end; what it says meanwhile is of no interest."""
        with suppress(BlockingIOError):
            self._link.setblocking(False)
            try:
                while self._link.recv(_READ):
                    pass
            except ConnectionError:
                return True
            finally:
                self._link.settimeout(self._timeout)
            return True
        return False


@contextmanager
def scratch(timeout: float) -> Iterator[Scratch]:
    """A scratch server, which ends with this process at the latest; its directory holds a socket only.

    Args:
        timeout: seconds for each of: taking more of the snapshot, loading it, answering.

    Raises:
        Permanent: redis-server is not installed, or does not start.
    """
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, _server(directory, listener) as password:
            listener.settimeout(_START_S)
            with _greeted(listener, password) as link:
                link.settimeout(timeout)
                yield Scratch(directory, link, timeout)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def dataset(client: "redis.Redis") -> Dataset:
    """What a server holds, all of its databases; it must allow DEBUG."""
    keys = sum(each["keys"] for each in client.info("keyspace").values())
    digest = client.execute_command("DEBUG", "DIGEST")  # type: ignore[no-untyped-call]
    return Dataset(keys, digest.decode() if isinstance(digest, bytes) else str(digest))


@contextmanager
def _server(directory: Path, listener: socket.socket) -> Iterator[str]:
    password = secrets.token_hex(16)
    config = _CONFIG.format(
        directory=directory, password=password, port=listener.getsockname()[1], patience=_PATIENCE_S
    )
    # It dies with us, however we die.
    argv = ["setpriv", "--pdeathsig", "KILL", "redis-server", "-"]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere)
    try:
        if process.stdin:
            process.stdin.write(config.encode())
            process.stdin.close()
        yield password
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def _greeted(listener: socket.socket, password: str) -> Iterator[socket.socket]:
    """The server's link to us as its master, up to where it asks for the snapshot."""
    try:
        link, _ = listener.accept()
    except OSError as error:
        hint = "is redis-server installed?"
        raise Permanent("the scratch Redis does not start", str(error), hint) from error
    with link:
        link.settimeout(_START_S)
        known, reader = False, link.makefile("rb")
        while True:
            words = _command(reader)
            if not words[0]:
                raise Permanent("the scratch Redis ended while it started")
            if words[0] == "PING":
                link.sendall(b"+PONG\r\n")
            elif words[0] == "AUTH":
                known = words[-1] == password
                link.sendall(b"+OK\r\n" if known else b"-WRONGPASS\r\n")
            elif not known:
                raise Permanent("somebody else connected to the scratch Redis's link")
            elif words[0] == "PSYNC":
                yield link
                return
            else:
                link.sendall(b"+OK\r\n")


def _command(reader: BinaryIO) -> list[str]:
    """The next command that the server sends: an array of texts, each after its length."""
    words = []
    for _ in range(int(reader.readline()[1:] or 0)):
        size = int(reader.readline()[1:])
        words.append(reader.read(size + 2)[:-2].decode())
    return words or [""]


def _sweep() -> None:
    """Remove the directories of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _unreadable(detail: str) -> Permanent:
    hint = "the snapshot is damaged, or from a newer Redis than the one installed here"
    return Permanent("the scratch Redis cannot load the snapshot", detail, hint)
