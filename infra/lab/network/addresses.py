"""A plan's addresses: by site, and moved from loopback to the namespaces' network.

Inside a namespace 127.0.0.0/8 is that namespace's own, so 127.A.B.C becomes 10.A.B.C there.
"""

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tasks.errors import Refused
from tasks.plan.base import Block
from tasks.plan.plan import Plan

_LOOPBACK = IPv4Network("127.0.0.0/8")
_OFFSET = int(IPv4Address("127.0.0.0")) - int(IPv4Address("10.0.0.0"))
_DOTTED = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


def site_addresses(plan: Plan) -> dict[str, list[str]]:
    """The addresses of each site's hosts, in the plan's order."""
    return {name: [str(host.address) for host in site.hosts.values()] for name, site in plan.sites.items()}


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


def namespace_plan(plan: Plan) -> Plan:
    """The plan with every address it declares, URLs included, on the namespaces' network.

    Raises:
        Refused: an address is not on loopback.
    """
    declared = {str(plan.service.endpoint.address)}.union(*site_addresses(plan).values())
    moved: Plan = _move(plan, declared)
    return moved


def _move(value: Any, declared: set[str]) -> Any:
    """Rebuild a value of the plan: addresses moved, in text only those that the plan declares."""
    match value:
        case IPv4Address():
            return namespace_address(value)
        case str():
            return _DOTTED.sub(lambda found: _move_text(found[0], declared), value)
        case dict():
            return {key: _move(item, declared) for key, item in value.items()}
        case tuple() | list():
            return type(value)(_move(item, declared) for item in value)
        case Block():
            return value.model_copy(update={key: _move(item, declared) for key, item in value})
    return value


def _move_text(address: str, declared: set[str]) -> str:
    return str(namespace_address(IPv4Address(address))) if address in declared else address
