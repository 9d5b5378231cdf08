"""A plan's addresses: by site, and moved from loopback to the namespaces' network.

Inside a namespace 127.0.0.0/8 is that namespace's own, so 127.A.B.C becomes 10.A.B.C there.
"""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tasks.errors import Refused
from tasks.plan.plan import Plan

_LOOPBACK = IPv4Network("127.0.0.0/8")
_OFFSET = int(IPv4Address("127.0.0.0")) - int(IPv4Address("10.0.0.0"))
_DOTTED = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


def site_addresses(plan: Plan) -> dict[str, list[str]]:
    """The addresses of each site's hosts, in the plan's order."""
    return {name: [str(host.address) for host in site.hosts.values()] for name, site in plan.sites.items()}


def world_addresses(plan: Plan) -> list[str]:
    """The addresses outside every site: the public endpoint's, from which users and operators come too."""
    return [str(plan.service.endpoint.proxy.address)]


def namespace_address(address: IPv4Address) -> IPv4Address:
    """Where a loopback address lies on the namespaces' network.

    Raises:
        Refused: the address is not on loopback.
    """
    if address not in _LOOPBACK:
        raise Refused(
            f"{address} has no place on the namespaces' network",
            "only 127.0.0.0/8 is mapped, to 10.0.0.0/8",
            "give the lab's plan loopback addresses",
        )
    return address - _OFFSET


def namespace_document(document: Any, plan: Plan) -> Any:
    """A plan's YAML with every address that the plan declares, URLs included, on the namespaces' network.

    Args:
        document: the plan as YAML reads it.
        plan: the same plan, checked.

    Raises:
        Refused: an address is not on loopback.
    """
    declared = set(world_addresses(plan)).union(*site_addresses(plan).values())
    moved = {address: str(namespace_address(IPv4Address(address))) for address in declared}
    return _move(document, moved)


def _move(value: Any, moved: dict[str, str]) -> Any:
    match value:
        case str():
            return _DOTTED.sub(lambda found: moved.get(found[0], found[0]), value)
        case dict():
            return {key: _move(item, moved) for key, item in value.items()}
        case list():
            return [_move(item, moved) for item in value]
    return value
