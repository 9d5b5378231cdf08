"""Each site in a network namespace of its own, joined by a user-space link that can be cut.

The world (users, the public endpoint, the `dr` command) is the namespace this runs in. Addresses of
10.0.0.0/8 exist in the lab's namespaces and on the world's TUN device only.
"""

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import psutil

from infra.lab.network import commands, control
from infra.lab.network.state import State
from infra.lab.network.topology import NAMESPACES, WORLD, Cut, Topology, Trouble, Weather
from tasks.clients import command
from tasks.errors import DrError, Refused, Transient

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,14}")


@dataclass(frozen=True)
class Namespaces:
    """The network that can be cut and worsened; Linux, root and TUN devices needed.

    Attributes:
        name: the lab's, at most 15 of a-z, 0-9 and dash: also the world's TUN device; see `beside`.
        state_dir: a directory that is this network's alone; `down` removes it.
        delay_ms: one-way latency between two sites.
        world_delay_ms: one-way latency between a site and the world.
    """

    name: str
    state_dir: Path
    delay_ms: float = 5.0
    world_delay_ms: float = 0.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Refused(
                f"{self.name!r} does not name a network",
                "a-z, 0-9 and dash, at most 15",
                "use Namespaces.beside",
            )

    @classmethod
    def beside(cls, state_dir: Path, **delays: float) -> Self:
        """The network of a state directory, named after it so that two labs do not collide."""
        digest = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()
        return cls(f"dr-{digest[:8]}", state_dir, **delays)

    @property
    def _state(self) -> State:
        return State(self.state_dir.resolve())

    @staticmethod
    def available() -> str | None:
        """Why this machine cannot have this network; None where it can. Tries, and leaves nothing."""
        try:
            command.run(["unshare", "--net", "ip", "tuntap", "add", "probe", "mode", "tun"], timeout=10)
        except DrError as error:
            return f"namespaces and TUN devices need root and /dev/net/tun: {error.detail}"
        return None

    def prefix(self, site: str) -> list[str]:
        """The argv prefix that runs a program in a site's namespace, as root, without a process between."""
        return ["nsenter", f"--net={NAMESPACES / f'{self.name}-{site}'}", "--"]

    def up(self, sites: Mapping[str, Sequence[str]], world: Sequence[str]) -> None:
        """Make or repair the network; partitions stay unless the sites have changed.

        Raises:
            Refused: not permitted here, or an address is in use on this machine.
            Permanent: `ip` or the link failed.
            Transient: they did not end in time.
        """
        if reason := self.available():
            raise Refused("sites cannot have namespaces here", reason, "dr lab up --network loopback")
        frozen = {site: tuple(hosts) for site, hosts in sites.items()}
        topology = Topology(self.name, frozen, tuple(world), self.delay_ms, self.world_delay_ms)
        self._refuse_conflicts(topology)
        if self._state.topology() != topology:
            self.down()
        self._state.record(topology)
        self._ensure_link(topology, remade=self._ensure_namespaces(topology))
        for place in topology.places:
            _ip(commands.place_batch(topology, place), None if place == WORLD else topology.namespace(place))

    def _refuse_conflicts(self, topology: Topology) -> None:
        if found := commands.conflicts(topology, _routes()):
            raise Refused(
                "the lab's addresses are in use on this machine",
                ", ".join(found),
                "end the other lab, or give the plan other addresses",
            )

    def _ensure_namespaces(self, topology: Topology) -> bool:
        """Make the namespaces that are missing or half made; whether there were any."""
        wanted = [topology.namespace(site) for site in topology.sites]
        missing = [namespace for namespace in wanted if not _is_whole(namespace)]
        broken = [namespace for namespace in missing if (NAMESPACES / namespace).exists()]
        _ip(commands.namespaces_batch(topology, broken, missing))
        return bool(missing)

    def _ensure_link(self, topology: Topology, *, remade: bool) -> None:
        """Have exactly one link, with a device in each of the namespaces as they are now."""
        running = control.links(self._state)
        if remade or len(running) != 1 or not _has_device(topology.device(WORLD)):
            self._stop_link()
            control.start(self._state)

    def _stop_link(self) -> None:
        """Kill the link and wait for its device: one that was killed before has no argv to be found by."""
        control.stop(self._state)
        late = Transient("the link's device does not go", self.name, "run `dr lab down` again")
        control.wait_until(lambda: not _has_device(self.name), late)

    def down(self) -> None:
        """Remove everything, processes still inside the sites included; nothing is needed but the name.

        Raises:
            Permanent: `ip` failed.
            Transient: a process does not end.
        """
        self._stop_link()
        namespaces = [path.name for path in NAMESPACES.glob(f"{self.name}-*")]
        control.kill_all(lambda: _inside(namespaces), "a program in a site")
        _ip(commands.removal_batch(self.name, namespaces, _routes()))
        shutil.rmtree(self._state.directory, ignore_errors=True)

    def cut(self, site: str, *, world: bool = False) -> None:
        """Drop all traffic between a site and the other sites; with `world`, between it and anything.

        Raises:
            Refused: there is no such site, or the network is not up.
            Transient: the link did not answer.
        """
        now = self._now(site)
        cut: Cut = "everything" if world else "sites"
        self._make(replace(now, cuts={**now.cuts, site: cut}))

    def worsen(self, site: str, weather: Weather) -> None:
        """Let a site's packets take longer, or get lost; raises as `cut` does."""
        now = self._now(site)
        self._make(replace(now, weather={**now.weather, site: weather}))

    def heal(self, site: str) -> None:
        """Undo `cut` and `worsen`; raises as they do."""
        now = self._now(site)
        self._make(Trouble(_without(now.cuts, site), _without(now.weather, site)))

    def is_cut(self, site: str) -> bool:
        """Whether a site is partitioned from the others."""
        return site in self._state.wanted().cuts

    def is_troubled(self, site: str) -> bool:
        """Whether a site is cut, or its lines are bad."""
        return self.is_cut(site) or site in self._state.wanted().weather

    def _now(self, site: str) -> Trouble:
        """The trouble as it is, once the site is known to exist."""
        topology = self._state.topology()
        if topology is None:
            raise Refused("the lab's network is not up", f"nothing in {self._state.directory}", "dr lab up")
        if site not in topology.sites:
            raise Refused(
                f"there is no site {site}", f"sites: {', '.join(topology.sites)}", "name one of them"
            )
        return self._state.wanted()

    def _make(self, trouble: Trouble) -> None:
        control.trouble(self._state, trouble)


def _without(mapping: Mapping[str, Any], site: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != site}


def _ip(batch: Sequence[str], namespace: str | None = None) -> None:
    """Have `ip` do several things, in a namespace or in the world."""
    place = [] if namespace is None else ["-n", namespace]
    command.run(["ip", *place, "-batch", "-"], timeout=20, stdin="".join(f"{line}\n" for line in batch))


def _routes() -> list[dict[str, Any]]:
    """Every IPv4 route of the world."""
    routes: list[dict[str, Any]] = json.loads(
        command.run(["ip", "-4", "-j", "route", "show", "table", "all"], timeout=10)
    )
    return routes


def _has_device(name: str) -> bool:
    return name in (device for _, device in socket.if_nameindex())


def _is_whole(namespace: str) -> bool:
    """Whether a name stands for a namespace: `ip netns add` leaves a plain file when it is killed."""
    path = NAMESPACES / namespace
    return path.exists() and path.stat().st_dev != NAMESPACES.stat().st_dev


def _inside(namespaces: Sequence[str]) -> list[psutil.Process]:
    """The processes whose network is one of these namespaces."""
    pids = {
        int(pid)
        for name in namespaces
        for pid in command.run(["ip", "netns", "pids", name], timeout=10).split()
    }
    return [process for process in psutil.process_iter() if process.pid in pids]
