"""Forwarding packets among open TUN devices, with latency, loss and partitions.

Only the standard library is imported: the link's process starts through this module.
"""

import os
import random
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infra.lab.network.topology import Topology, Trouble, hops

_BATCH = 64  # packets read from one device before what is due elsewhere is delivered
_IN_FLIGHT = 2048  # packets under way for one delay; beyond it they are dropped, as in a full queue
_LARGEST = 65535  # bytes of an IP packet


@dataclass
class Line:
    """The packets under way for one delay, in order of due: (due, device to write to, packet)."""

    delay: float
    packets: deque[tuple[float, int, bytes]] = field(default_factory=deque)

    def deliver(self) -> None:
        """Write every packet that is due."""
        now = time.monotonic()
        while self.packets and self.packets[0][0] <= now:
            _, device, packet = self.packets.popleft()
            try:
                os.write(device, packet)
            except OSError:
                continue  # the device is down or its queue full: IP may lose a packet


Routes = Mapping[bytes, tuple[int, Line, float]]


class Forwarder:
    """The link's loop: reads packets, holds them for their delay, writes them.

    A partition is the absence of a route, so a packet costs one look-up whether sites are cut or not,
    and packets already under way arrive.
    """

    def __init__(self, topology: Topology, devices: Mapping[str, int]) -> None:
        self._topology = topology
        self._devices = devices
        self._lines: dict[float, Line] = {}
        self._routes: dict[int, Routes] = {}

    def suffer(self, trouble: Trouble) -> None:
        """Take this trouble from the next packet on."""
        self._routes = {device: self._routes_from(place, trouble) for place, device in self._devices.items()}

    def _routes_from(self, place: str, trouble: Trouble) -> Routes:
        return {
            address: (self._devices[hop.destination], self._line(hop.delay), hop.loss)
            for address, hop in hops(self._topology, place, trouble).items()
        }

    def _line(self, delay: float) -> Line:
        return self._lines.setdefault(delay, Line(delay))

    def run(self, wake: int, woken: Callable[[], None]) -> None:
        """Forward for ever; `woken` is called whenever the descriptor `wake` can be read."""
        watched = [*self._devices.values(), wake]
        while True:
            # select rather than epoll: its timeout counts microseconds, and there are few devices
            readable, _, _ = select.select(watched, [], [], self._until_due())
            for ready in readable:
                if ready == wake:
                    woken()
                else:
                    _receive(ready, self._routes[ready])
            for line in self._lines.values():
                line.deliver()

    def _until_due(self) -> float | None:
        """Seconds until the next packet is due; None, to wait for one, where none is under way."""
        due = [line.packets[0][0] for line in self._lines.values() if line.packets]
        return max(0.0, min(due) - time.monotonic()) if due else None


def _receive(device: int, routes: Routes) -> None:
    """Read a batch of packets, and put those that have a route on their line."""
    now = time.monotonic()
    for _ in range(_BATCH):
        try:
            packet = os.read(device, _LARGEST)
        except BlockingIOError:
            return
        route = routes.get(packet[16:20]) if packet[0] >> 4 == 4 else None
        if route is None:
            continue
        target, line, loss = route
        lost = loss and random.random() < loss  # noqa: S311 - weather, not a secret
        if not lost and len(line.packets) < _IN_FLIGHT:
            line.packets.append((now + line.delay, target, packet))
