"""The sites: their roles, their programs, their addresses and their object stores."""

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from itertools import product
from typing import get_args
from urllib.parse import urlsplit

from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Host, Program, Role, Service, Site

Sites = Mapping[str, Site]

_WORKING: tuple[Program, ...] = (
    "postgres", "etcd", "gateway", "pgbouncer", "redis", "storage", "service",
)  # fmt: skip
_REQUIRED: dict[Role, tuple[Program, ...]] = {
    "primary": _WORKING,
    "dr": (*_WORKING, "control"),
    "archive": ("etcd", "storage"),
}


def roles(sites: Sites) -> Iterator[Mistake]:
    """One site a role."""
    held = Counter(site.role for site in sites.values())
    for role in get_args(Role):
        if held[role] != 1:
            yield Mistake("sites", f"{held[role]} sites with the role {role}", "exactly one of each role")


def programs(sites: Sites) -> Iterator[Mistake]:
    """Each site runs what its role needs."""
    for name, site in sites.items():
        allowed = f"a {site.role} site runs {', '.join(_REQUIRED[site.role])}"
        for program in _REQUIRED[site.role]:
            if not site.running(program):
                yield Mistake(f"sites.{name}.hosts", f"no host runs {program}", allowed)


def consensus(sites: Sites) -> Iterator[Mistake]:
    """One etcd member a site: then the loss of any one site leaves a quorum."""
    for name, site in sites.items():
        members = list(site.running("etcd"))
        for host in members[1:]:
            allowed = "one member a site, so that any two sites hold quorum"
            yield Mistake(f"sites.{name}.hosts.{host}.runs", f"etcd runs on {members[0]} already", allowed)


def control(sites: Sites) -> Iterator[Mistake]:
    """The control plane lives where the recovery happens, never in the site that fails."""
    for name, site in sites.items():
        for host in site.running("control") if site.role != "dr" else ():
            yield Mistake(
                f"sites.{name}.hosts.{host}.runs", "control outside the dr site", "the dr site only"
            )


def vantages(sites: Sites) -> Iterator[Mistake]:
    """Two sites watch from outside the primary: who fails with it is blind, and one alone may err."""
    outside = [name for name, site in sites.items() if site.role != "primary" and site.running("watch")]
    if len(outside) < 2:
        told = f"watch runs at {outside[0]} only" if outside else "watch runs nowhere"
        yield Mistake("sites", f"outside the primary, {told}", "watch at two sites that are not the primary")
    for name, site in sites.items():
        for host in list(site.running("watch"))[1:]:
            yield Mistake(f"sites.{name}.hosts.{host}.runs", "watch again", "one watch a site")


def repeated_programs(sites: Sites) -> Iterator[Mistake]:
    """No program twice on a host."""
    for path, host in _hosts(sites):
        if len(set(host.runs)) < len(host.runs):
            yield Mistake(f"{path}.runs", "a program twice", "each program once")


def host_names(sites: Sites) -> Iterator[Mistake]:
    """Hosts have names of their own, across sites."""
    homes: dict[str, str] = {}
    for name, site in sites.items():
        for host in site.hosts:
            home = homes.setdefault(host, name)
            if home != name:
                yield Mistake(f"sites.{name}.hosts.{host}", f"also a host of {home}", "a name of its own")


def host_addresses(sites: Sites) -> Iterator[Mistake]:
    """Hosts have addresses of their own, across sites."""
    holders: dict[IPv4Address, str] = {}
    for path, host in _hosts(sites):
        holder = holders.setdefault(host.address, path)
        if holder != path:
            yield Mistake(f"{path}.address", f"{host.address} is {holder}'s too", "an address of its own")


def endpoint_address(service: Service, sites: Sites) -> Iterator[Mistake]:
    """Users arrive outside every site."""
    for path, host in _hosts(sites):
        if host.address == service.endpoint.address:
            wrong = f"{host.address} is {path}'s too"
            yield Mistake("service.endpoint.address", wrong, "an address outside every site")


def endpoint_ports(service: Service) -> Iterator[Mistake]:
    """Users never reach the administration."""
    if service.endpoint.port == service.endpoint.admin_port:
        yield Mistake("service.endpoint.admin_port", "the public port", "a port of its own")


def stores(sites: Sites) -> Iterator[Mistake]:
    """No two sites share an object store, and no two buckets a name: what is public lies apart."""
    for fields in (("endpoint",), ("bucket", "status_bucket")):
        holders: dict[str, tuple[str, str]] = {}
        for name, field in product(sites, fields):
            value = getattr(sites[name].storage, field)
            holder = holders.setdefault(value, (name, field))
            if value is not None and holder != (name, field):
                yield Mistake(
                    f"sites.{name}.storage.{field}", f"{holder[0]} uses it too", f"a {field} of its own"
                )


def store_hosts(sites: Sites) -> Iterator[Mistake]:
    """A store at one of the plan's addresses is where this site runs storage."""
    known = {str(host.address) for _, host in _hosts(sites)}
    for name, site in sites.items():
        address = urlsplit(site.storage.endpoint).hostname
        if address in known and address not in site.addresses("storage"):
            wrong = f"no host of {name} runs storage at {address}"
            yield Mistake(f"sites.{name}.storage.endpoint", wrong, "a host of this site that runs storage")


def _hosts(sites: Sites) -> Iterator[tuple[str, Host]]:
    for name, site in sites.items():
        for host_name, host in site.hosts.items():
            yield f"sites.{name}.hosts.{host_name}", host


CHECKS = (
    endpoint_ports, endpoint_address, roles, programs, consensus, control, vantages, repeated_programs,
    host_names, host_addresses, stores, store_hosts,
)  # fmt: skip
