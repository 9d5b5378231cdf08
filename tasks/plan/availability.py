"""High availability and the promises: the seed's high_availability, postgresql_ha and sla_tiers."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from tasks.plan.base import Block, Phrase
from tasks.plan.values import Duration, Flag, Integer, Name, Percentage, matching, refusal

HttpPath = Annotated[str, matching(r"/[^\s?#]*", "a path that starts with a slash, such as '/health'")]
InstanceType = Annotated[str, matching(r"[a-z0-9.-]+", "an instance type such as 'db.r5.2xlarge'")]

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


class ZoneFailover(Block):
    """How soon a failure is seen, and how soon it is over."""

    detection_timeout: Duration
    failover_time: Duration
    automatic: Flag
    health_checks: Annotated[tuple[HealthCheck, ...], Field(min_length=1)]


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
