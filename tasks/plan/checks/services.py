"""The services: an order that can be kept, and ports and paths that nobody else has."""

from collections.abc import Iterator, Mapping
from functools import partial

from tasks.plan.availability import HighAvailability
from tasks.plan.checks.turns import Noun, circle_in, dependencies_of
from tasks.plan.mistakes import Mistake
from tasks.plan.ports import PORTS
from tasks.plan.services import FurtherService, Turn
from tasks.plan.sites import Access, Service, Site

Services = Mapping[str, FurtherService]
# Where every recovery's smoke test places an order.
_SMOKE = "/orders"


def names(service: Service, services: Services) -> Iterator[Mistake]:
    """No service has the main one's name."""
    if service.name in services:
        yield Mistake(f"services.{service.name}", "the main service has this name", "a name of its own")


def dependencies(service: Service, services: Services) -> Iterator[Mistake]:
    """Each dependency is another service, once, and never of a later priority."""
    place = partial(place_of, service)
    yield from dependencies_of(turns_of(service, services), place, Noun("service", "services"))


def cycles(service: Service, services: Services) -> Iterator[Mistake]:
    """No service needs itself, directly or through others."""
    yield from circle_in(turns_of(service, services), partial(place_of, service))


def commands(services: Services, access: Access) -> Iterator[Mistake]:
    """Services can be started and stopped."""
    allowed = "a command with {service}, and {site}, {host} or {address}, as there are services"
    for name in ("start_service", "stop_service"):
        command = getattr(access, name)
        if services and (command is None or "{service}" not in command):
            wrong = "missing" if command is None else "it names no {service}"
            yield Mistake(f"access.{name}", wrong, allowed)


def ports(services: Services, sites: Mapping[str, Site]) -> Iterator[Mistake]:
    """Each service listens at a port that nothing else on its hosts has."""
    holders = {
        port: program
        for site in sites.values()
        for host in site.running("service").values()
        for program in host.runs
        for port in PORTS.get(program, ())
    } | dict.fromkeys(PORTS["service"], "the main service")
    for name, each in services.items():
        holder = holders.setdefault(each.port, name)
        if holder != name:
            yield Mistake(f"services.{name}.port", f"{each.port} is {holder}'s", "a port of its own")


def paths(services: Services, high_availability: HighAvailability) -> Iterator[Mistake]:
    """No service stands in the way of another one, or of what the main service is known by."""
    checked = [check.endpoint for check in high_availability.failover.health_checks]
    taken = {path: f"the main service's {path}" for path in (_SMOKE, *checked)}
    for name, each in services.items():
        overlapped = [holder for path, holder in taken.items() if _overlap(path, each.path)]
        for holder in overlapped[:1]:
            allowed = "a path that no other service has, nor one above or below"
            yield Mistake(f"services.{name}.path", f"it overlaps {holder}", allowed)
        taken.setdefault(each.path, f"{each.path} of {name}")


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def turns_of(service: Service, services: Services) -> dict[str, Turn]:
    """Every service's place in the business order, the main one first."""
    return {service.name: service.turn, **{name: each.turn for name, each in services.items()}}


def place_of(service: Service, name: str) -> str:
    """Where the plan describes a service."""
    return "service" if name == service.name else f"services.{name}"


CHECKS = (names, dependencies, cycles, commands, ports, paths)
