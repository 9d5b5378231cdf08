"""What moves the users: one thing, with all it needs, for each site that can serve them."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from tasks.plan.availability import HighAvailability, SlaTier
from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Service, Site
from tasks.plan.traffic import is_address
from tasks.plan.values import in_words

_AT = "service.endpoint"


def one_driver(service: Service) -> Iterator[Mistake]:
    """One thing moves the users."""
    if service.endpoint.route53 and service.endpoint.istio:
        yield Mistake(
            f"{_AT}.istio", "route53 moves the users already", "one of route53 and istio, neither for HAProxy"
        )


def proxy_keys(service: Service) -> Iterator[Mistake]:
    """HAProxy's keys are there where HAProxy is; Route 53 alone gives users another address than ours."""
    endpoint = service.endpoint
    if endpoint.driver != "route53" and endpoint.address is None:
        yield Mistake(f"{_AT}.address", "missing", "where users arrive")
    if endpoint.driver == "haproxy" and endpoint.admin_port is None:
        yield Mistake(f"{_AT}.admin_port", "missing", "where HAProxy takes orders, or route53 or istio")


def each_site(service: Service, sites: Mapping[str, Site]) -> Iterator[Mistake]:
    """The driver knows each site that has a gateway, each by something of its own."""
    key, known = service.endpoint.by_site()
    gateways = [name for name, site in sites.items() if site.running("gateway")]
    if not key:
        return
    for name in gateways:
        if name not in known:
            yield Mistake(f"{_AT}.{key}", f"{name} is missing", "an entry for each site with a gateway")
    holders: list[tuple[str, object]] = []
    for name, value in known.items():
        if name not in gateways:
            yield Mistake(f"{_AT}.{key}.{name}", "no site with a gateway", f"one of {', '.join(gateways)}")
        for holder in (other for other, held in holders if held == value):
            yield Mistake(f"{_AT}.{key}.{name}", f"the same as {holder}'s", "one of its own")
        holders.append((name, value))


def record(service: Service) -> Iterator[Mistake]:
    """A record's answers are of one type, and a failover record has two, of which one holds at a time."""
    route53 = service.endpoint.route53
    if route53 is None:
        return
    if len(set(map(is_address, route53.values.values()))) > 1:
        yield Mistake(f"{_AT}.route53.values", "addresses and host names", "all addresses or all host names")
    if route53.routing == "failover":
        if len(route53.values) != 2:
            wrong = f"{len(route53.values)} answers of a failover record"
            yield Mistake(f"{_AT}.route53.values", wrong, "two, a primary's and a secondary's")
        if service.endpoint.shift:
            wrong = "a failover record moves all users at once"
            yield Mistake(f"{_AT}.shift", wrong, "route53.routing 'weighted', or no shift")


def record_lifetime(service: Service, sla_tiers: Mapping[str, SlaTier]) -> Iterator[Mistake]:
    """Users follow a record within the promised RTO."""
    route53 = service.endpoint.route53
    if route53 and service.tier in sla_tiers and route53.ttl > sla_tiers[service.tier].rto:
        wrong = f"users follow {in_words(route53.ttl)} late"
        allowed = f"the tier's rto at most, {in_words(sla_tiers[service.tier].rto)}"
        yield Mistake(f"{_AT}.route53.ttl", wrong, allowed)


def pause(service: Service, high_availability: HighAvailability) -> Iterator[Mistake]:
    """Each step is watched for longer than users take to follow it."""
    endpoint, grace = service.endpoint, high_availability.load_balancing.health_check_grace_period
    late = {"haproxy": (grace, "the health check grace period, in which HAProxy lets a site start slowly")}
    if endpoint.route53:
        late["route53"] = (endpoint.route53.ttl, "the record's ttl")
    longest, why = late.get(endpoint.driver, (timedelta(0), ""))
    if endpoint.shift and endpoint.shift.pause < longest:
        allowed = f"{in_words(longest)} at least, {why}"
        yield Mistake(f"{_AT}.shift.pause", "over before users follow", allowed)


CHECKS = (one_driver, proxy_keys, each_site, record, record_lifetime, pause)
