"""High availability and the promises: the seed's high_availability, postgresql_ha and sla_tiers."""

from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from tasks.plan.base import Block, Phrase
from tasks.plan.values import Duration, Flag, Integer, Name, Percentage, matching, refusal

HttpPath = Annotated[str, matching(r"/[^\s?#]*", "a path that starts with a slash, such as '/health'")]
InstanceType = Annotated[str, matching(r"[a-z0-9.-]+", "an instance type such as 'db.r5.2xlarge'")]

EXCHANGE = timedelta(seconds=4)
"""The longest that a vantage takes to read, write and read again what the vantages know, in etcd."""

_SUPPORT = {
    "business hours": ("business hours", False),
    "24/7": ("24/7", False),
    "24/7 with dedicated TAM": ("24/7", True),
}


class Zones(Block):
    """The zones of the primary site."""

    primary: Name
    secondary: Annotated[tuple[Name, ...], Field(min_length=1)]


class HealthCheck(Block):
    """One request that tells whether the service answers; down after `retries` failures in a row."""

    endpoint: HttpPath
    interval: Duration
    timeout: Duration
    retries: Annotated[Integer, Field(ge=1, le=100)]

    @property
    def pace(self) -> timedelta:
        """From one look to the next, once one was not as those before it."""
        return self.interval / 2

    @property
    def told_within(self) -> timedelta:
        """The longest from the loss of a site until every vantage has told the others of it.

        A look that began before the loss may still be answered; the next one begins `interval` after it at
        most, and so `interval` after the loss at most. It is over after `timeout`. The one after it begins
        `pace` after it began, or when it is over where that is later. So the look that is number `retries` is
        over after interval + (retries - 1) * max(timeout, pace) + timeout, and what was seen is read, written
        and compared in etcd within EXCHANGE.
        """
        return self.interval + (self.retries - 1) * max(self.timeout, self.pace) + self.timeout + EXCHANGE


class ZoneFailover(Block):
    """How soon a failure is seen, and how soon it is over."""

    detection_timeout: Duration
    failover_time: Duration
    automatic: Flag
    health_checks: Annotated[tuple[HealthCheck, ...], Field(min_length=1)]

    @property
    def quickest(self) -> HealthCheck:
        """The check that sees a loss first: what the watch goes by."""
        return min(self.health_checks, key=lambda check: check.told_within)


class LoadBalancing(Block):
    """How requests are spread."""

    algorithm: Literal["least_connections", "round_robin", "random"]
    sticky_sessions: Flag
    health_check_grace_period: Duration


class HighAvailability(Block):
    """Seed, "Automatic Failover Configuration"."""

    zones: Zones
    failover: ZoneFailover
    load_balancing: LoadBalancing


class Node(Block):
    """A PostgreSQL node; its name is a host of the primary site."""

    name: Name
    zone: Name
    instance_type: InstanceType


class Replica(Node):
    """A PostgreSQL node that follows the primary."""

    replication: Literal["synchronous", "asynchronous"]


class Nodes(Block):
    """The nodes of the primary site's cluster."""

    primary: Node
    replicas: Annotated[tuple[Replica, ...], Field(min_length=1)]

    @property
    def all(self) -> tuple[Node, ...]:
        """The primary, then the replicas."""
        return (self.primary, *self.replicas)


class PatroniTimings(NamedTuple):
    """Patroni's three timings, in seconds."""

    ttl: int
    loop_wait: int
    retry_timeout: int


class DatabaseFailover(Block):
    """How soon the cluster must have a new leader."""

    automatic: Flag
    timeout: Duration
    promotion_timeout: Duration

    @property
    def patroni_timings(self) -> PatroniTimings:
        """What Patroni needs to fail over within `timeout`.

        The leader key lives for two thirds of it, and an election fits in the rest. Patroni 4.1 clamps
        ttl to 20 at least; loop_wait + 2 * retry_timeout never exceeds ttl, as its manual asks.
        """
        ttl = max(20, int(self.timeout.total_seconds()) * 2 // 3)
        loop_wait = max(1, ttl // 10)
        return PatroniTimings(ttl, loop_wait, max(3, (ttl - loop_wait) // 6))


class PostgresqlHa(Block):
    """Seed, "Database Cluster Configuration"."""

    cluster_name: Name
    nodes: Nodes
    failover: DatabaseFailover


class Support(Phrase):
    """When people answer, and whether one of them is the customer's own."""

    hours: Literal["24/7", "business hours"]
    dedicated_tam: bool

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read "24/7 with dedicated TAM"."""
        if not isinstance(value, str) or value not in _SUPPORT:
            raise refusal(f"{value!r:.60} is not a support level", ", ".join(map(repr, _SUPPORT)))
        hours, dedicated = _SUPPORT[value]
        return {"hours": hours, "dedicated_tam": dedicated}

    def written(self) -> str:
        """The seed's words."""
        return next(words for words, level in _SUPPORT.items() if level == (self.hours, self.dedicated_tam))


class SlaTier(Block):
    """What a tier promises: at most `rto` until service is restored, at most `rpo` of data lost."""

    rto: Duration
    rpo: Duration
    availability: Percentage
    support: Support


SlaTiers = Annotated[dict[Name, SlaTier], Field(min_length=1)]
