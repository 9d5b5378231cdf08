"""Who is joined to whom, how far apart, and what a partition drops: pure decisions.

Only the standard library is imported: the link's process starts through this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

WORLD = ""
"""The place outside every site; no site of a plan can have this name."""

NAMESPACES = Path("/run/netns")
"""Where named network namespaces are: ip-netns(8)."""

DEVICE = "link0"
"""The TUN device in each site's namespace."""

MTU = 65000
"""Bytes; near the largest IP packet, because the link's cost is by the packet."""

Cut = Literal["sites", "everything"]
"""What a cut site no longer reaches: the other sites, or the world as well."""


@dataclass(frozen=True)
class Weather:
    """How bad a site's lines to everything else are.

    Attributes:
        delay_ms: added one-way latency.
        loss: the share of packets that get lost, from 0 to 1.
    """

    delay_ms: float = 0.0
    loss: float = 0.0


FAIR = Weather()


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the network: partitions, and sites whose lines are bad."""

    cuts: Mapping[str, Cut] = field(default_factory=dict)
    weather: Mapping[str, Weather] = field(default_factory=dict)


NONE = Trouble()


@dataclass(frozen=True)
class Topology:
    """A network of sites.

    Attributes:
        name: the lab's name; also the name of the world's TUN device.
        sites: the addresses of each site's hosts, its source address first.
        world: the addresses outside every site, their source address first.
        delay_ms: one way, between two sites.
        world_delay_ms: one way, between a site and the world.
    """

    name: str
    sites: Mapping[str, tuple[str, ...]]
    world: tuple[str, ...]
    delay_ms: float
    world_delay_ms: float

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """The addresses of every place: the world and the sites."""
        return {WORLD: self.world, **self.sites}

    def namespace(self, site: str) -> str:
        """The name of a site's network namespace."""
        return f"{self.name}-{site}"

    def device(self, place: str) -> str:
        """The name of a place's TUN device."""
        return self.name if place == WORLD else DEVICE

    def delay_seconds(self, source: str, destination: str) -> float:
        """The one-way latency between two places."""
        return (self.world_delay_ms if WORLD in (source, destination) else self.delay_ms) / 1000


@dataclass(frozen=True)
class Hop:
    """Where a packet goes, how long it takes in seconds, and how likely it gets lost."""

    destination: str
    delay: float
    loss: float = 0.0


def delivers(source: str, destination: str, cuts: Mapping[str, Cut]) -> bool:
    """Whether a packet passes between two places under these partitions."""
    if WORLD in (source, destination):
        return "everything" not in (cuts.get(source), cuts.get(destination))
    return source not in cuts and destination not in cuts


def hops(topology: Topology, source: str, trouble: Trouble) -> dict[bytes, Hop]:
    """What the link does with a place's packets, by packed destination address; others are dropped."""
    return {
        IPv4Address(address).packed: _hop(topology, source, place, trouble)
        for place, addresses in topology.places.items()
        if place != source and delivers(source, place, trouble.cuts)
        for address in addresses
    }


def _hop(topology: Topology, source: str, place: str, trouble: Trouble) -> Hop:
    """Both ends' weather counts."""
    ends = [trouble.weather.get(end, FAIR) for end in (source, place)]
    delay = topology.delay_seconds(source, place) + sum(end.delay_ms for end in ends) / 1000
    return Hop(place, delay, loss=1 - (1 - ends[0].loss) * (1 - ends[1].loss))


def elsewhere(topology: Topology, place: str) -> list[str]:
    """Every address that a place reaches through the link."""
    return [
        address for other, addresses in topology.places.items() if other != place for address in addresses
    ]
