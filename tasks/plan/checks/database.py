"""The zones and nodes that the seed's blocks name must be those of the primary site."""

from collections.abc import Iterator, Mapping

from tasks.plan.availability import HighAvailability, Node, PostgresqlHa
from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Site

Sites = Mapping[str, Site]


def zones(high_availability: HighAvailability, sites: Sites) -> Iterator[Mistake]:
    """The zones are exactly those of the primary site's hosts."""
    there = {host.zone for site in _primaries(sites) for host in site.hosts.values()}
    named = _named_zones(high_availability)
    for path, zone in named:
        if there and zone not in there:
            yield Mistake(
                path, f"{zone} is no zone of the primary site", f"one of {', '.join(sorted(there))}"
            )
    for zone in sorted(there - {zone for _, zone in named}):
        yield Mistake(
            "high_availability.zones.secondary", f"{zone} is missing", "every zone of the primary site"
        )


def zones_once(high_availability: HighAvailability) -> Iterator[Mistake]:
    """No zone twice."""
    seen: set[str] = set()
    for path, zone in _named_zones(high_availability):
        if zone in seen:
            yield Mistake(path, f"{zone} is named before", "each zone once")
        seen.add(zone)


def nodes(postgresql_ha: PostgresqlHa, sites: Sites) -> Iterator[Mistake]:
    """Each node is a host of the primary site that runs postgres, in the host's own zone."""
    hosts = {name: host for site in _primaries(sites) for name, host in site.running("postgres").items()}
    allowed = "the hosts of the primary site that run postgres: " + ", ".join(hosts)
    for path, node in _named_nodes(postgresql_ha):
        if hosts and node.name not in hosts:
            yield Mistake(f"{path}.name", f"{node.name} is no such host", allowed)
        elif hosts and node.zone != hosts[node.name].zone:
            yield Mistake(f"{path}.zone", f"{node.name} is in {hosts[node.name].zone}", "the host's own zone")
    for host in hosts:
        if host not in {node.name for node in postgresql_ha.nodes.all}:
            yield Mistake("postgresql_ha.nodes.replicas", f"{host} is missing", allowed)


def nodes_once(postgresql_ha: PostgresqlHa) -> Iterator[Mistake]:
    """No node twice."""
    seen: set[str] = set()
    for path, node in _named_nodes(postgresql_ha):
        if node.name in seen:
            yield Mistake(f"{path}.name", f"{node.name} is named before", "each node once")
        seen.add(node.name)


def _primaries(sites: Sites) -> list[Site]:
    return [site for site in sites.values() if site.role == "primary"]


def _named_zones(high_availability: HighAvailability) -> list[tuple[str, str]]:
    named = high_availability.zones
    path = "high_availability.zones"
    secondary = [(f"{path}.secondary.{index}", zone) for index, zone in enumerate(named.secondary)]
    return [(f"{path}.primary", named.primary), *secondary]


def _named_nodes(postgresql_ha: PostgresqlHa) -> list[tuple[str, Node]]:
    path = "postgresql_ha.nodes"
    replicas = [(f"{path}.replicas.{index}", node) for index, node in enumerate(postgresql_ha.nodes.replicas)]
    return [(f"{path}.primary", postgresql_ha.nodes.primary), *replicas]


CHECKS = (zones, zones_once, nodes, nodes_once)
