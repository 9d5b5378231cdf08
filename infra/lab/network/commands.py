"""What `ip` is told, as batches: pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.lab.network.topology import MTU, WORLD, Topology, elsewhere


def guard_metric(name: str) -> int:
    """The metric of a lab's guard routes: it tells them from another lab's, with no record needed."""
    return 0x40000000 | int(hashlib.sha256(name.encode()).hexdigest()[:7], 16)


def namespaces_batch(topology: Topology, broken: Iterable[str], missing: Iterable[str]) -> list[str]:
    """Make the namespaces that are missing, and keep the world's traffic for sites on this machine.

    Without a guard, a packet for a site would take the default route out of the machine while the link
    is not there to take it.
    """
    metric = guard_metric(topology.name)
    addresses = [*topology.world, *elsewhere(topology, WORLD)]
    return [
        *(f"netns del {namespace}" for namespace in broken),
        *(f"netns add {namespace}" for namespace in missing),
        *(f"route replace unreachable {address}/32 metric {metric}" for address in addresses),
    ]


def place_batch(topology: Topology, place: str) -> list[str]:
    """Give a place its addresses, and exact routes over the link to every other place's.

    A site's addresses lie on its loopback device. The world's lie on the TUN device, so that nothing is
    left of them when the link dies.
    """
    device, own = topology.device(place), topology.places[place]
    holder = device if place == WORLD else "lo"
    return [
        *([] if place == WORLD else ["link set lo up"]),
        *(f"address replace {address}/32 dev {holder}" for address in own),
        f"link set {device} mtu {MTU} up",
        *(f"route replace {address}/32 dev {device} src {own[0]}" for address in elsewhere(topology, place)),
    ]


def removal_batch(name: str, namespaces: Iterable[str], routes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Remove a lab's namespaces and, of the machine's routes, its guards."""
    metric = guard_metric(name)
    return [
        *(f"netns del {namespace}" for namespace in namespaces),
        *(
            f"route del unreachable {route['dst']} metric {metric}"
            for route in routes
            if route.get("type") == "unreachable" and route.get("metric") == metric
        ),
    ]


def conflicts(topology: Topology, routes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which of the topology's addresses this machine already reaches some other way, and over what."""
    addresses = [*topology.world, *elsewhere(topology, WORLD)]
    return [
        f"{address} ({route['dst']} dev {route['dev']})"
        for route in routes
        if route["dst"] != "default" and route.get("dev", topology.name) != topology.name
        for address in addresses
        if IPv4Address(address) in IPv4Network(route["dst"], strict=False)
    ]
