"""The link: one process that joins the sites' namespaces and the world.

`python -m infra.lab.network.link STATE` opens one TUN device a place, reports failures on its own
standard error, and returns once its daemon forwards. SIGHUP makes the daemon take the wanted
trouble from STATE. The TUN devices, and the routes over them, vanish with it.

User space because this kernel has no netem (facts.md, "The lab, tried whole").
"""

import ctypes
import errno
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from infra.lab.network.forwarder import Forwarder
from infra.lab.network.state import State
from infra.lab.network.topology import NAMESPACES, WORLD, Topology

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN_NO_PI = 0x1001
_CLONE_NEWNET = 0x40000000
_PATIENCE_SECONDS = 3.0
_LOG = logging.getLogger(__name__)
_PRIORITY = -10  # a cable is not slower because its ends are busy


def _enter(namespace: int) -> None:
    """Move into a network namespace (os.setns is Python 3.12's)."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def _open_tun(device: str) -> int:
    """Open a TUN device in the present namespace, once a dying link has let go of it; reads do not wait."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                sys.exit(f"the link's device {device} cannot be made: {error.strerror}")
            time.sleep(0.01)
        else:
            return tun


def open_devices(topology: Topology) -> dict[str, int]:
    """Open the TUN device of every place; the process ends up where it was, in the world."""
    devices = {}
    with Path("/proc/self/ns/net").open() as world:
        for site in topology.sites:
            with (NAMESPACES / topology.namespace(site)).open() as namespace:
                _enter(namespace.fileno())
            devices[site] = _open_tun(topology.device(site))
        _enter(world.fileno())
    devices[WORLD] = _open_tun(topology.device(WORLD))
    return devices


def _wake_on_hangup() -> socket.socket:
    """A socket that can be read after every SIGHUP."""
    readable, writable = socket.socketpair()
    readable.setblocking(False)
    writable.setblocking(False)
    signal.signal(signal.SIGHUP, lambda *_: None)
    signal.set_wakeup_fd(writable.detach())
    return readable


def _daemonise(log: Path) -> None:
    """Go on in a child that holds no terminal, directory or pipe of the caller's; the parent ends."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null, lines = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    )
    for source, target in ((null, 0), (lines, 1), (lines, 2)):
        os.dup2(source, target)
    os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def main(directory: str) -> None:
    """Open the devices, apply the wanted partitions, and forward until killed."""
    state = State(Path(directory))
    topology = state.topology()
    if topology is None:
        sys.exit(f"no topology is recorded in {directory}")
    wake, forwarder = _wake_on_hangup(), Forwarder(topology, open_devices(topology))

    def take_trouble() -> None:
        trouble = state.wanted()
        forwarder.suffer(trouble)
        state.confirm(trouble)
        _LOG.info("%s", trouble)

    def woken() -> None:
        wake.recv(4096)
        take_trouble()

    take_trouble()
    _daemonise(state.log)
    forwarder.run(wake.fileno(), woken)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main(sys.argv[1])
