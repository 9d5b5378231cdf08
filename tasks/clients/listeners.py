"""What listens at an address, told by connecting: no login, no agent, no privilege."""

import errno
import select
import socket
from collections.abc import Iterable, Iterator

_BATCH = 256
_DONE = {0, errno.EISCONN}


def listening(address: str, ports: Iterable[int], wait: float = 0.5) -> set[int]:
    """Those of the ports at which something takes connections.

    Args:
        address: the host.
        ports: what is tried, some hundred at once.
        wait: seconds for each such batch; a port that does not answer by then is taken as closed.
    """
    wanted = sorted(set(ports))
    batches = (wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH))
    return {port for batch in batches for port in _open(address, batch, wait)}


def _open(address: str, ports: Iterable[int], wait: float) -> Iterator[int]:
    waiting: dict[int, tuple[socket.socket, int]] = {}
    poll = select.poll()
    try:
        for port in ports:
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            client.setblocking(False)
            code = client.connect_ex((address, port))
            if code == errno.EINPROGRESS:
                waiting[client.fileno()] = client, port
                poll.register(client, select.POLLOUT)
                continue
            client.close()
            if code in _DONE:
                yield port
        yield from _answered(poll, waiting, wait)
    finally:
        for client, _ in waiting.values():
            client.close()


def _answered(
    poll: "select.poll", waiting: dict[int, tuple[socket.socket, int]], wait: float
) -> Iterator[int]:
    left = set(waiting)
    while left:
        ready = poll.poll(wait * 1000)
        if not ready:
            return
        for number, _ in ready:
            client, port = waiting[number]
            poll.unregister(number)
            left.discard(number)
            if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and not _is_self(client):
                yield port


def _is_self(client: socket.socket) -> bool:
    """A client whose own port was the one it tried has met itself, and nobody else."""
    try:
        return bool(client.getsockname() == client.getpeername())
    except OSError:
        return True
