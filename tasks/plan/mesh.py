"""How the service mesh keeps failures apart: the values of the seed's two Istio manifests."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tasks.plan.base import Block
from tasks.plan.values import Duration, Integer, Name, Percentage, percent, refusal


def _whole(ratio: Decimal) -> Decimal:
    if ratio * 100 % 1:
        raise refusal(
            f"{percent(ratio)} is not a whole percentage", "Istio knows whole ones only, such as '50%'"
        )
    return ratio


def _some(share: Decimal) -> Decimal:
    if share == 0:
        raise refusal("Istio takes 0% for nothing said, which is 10%", "'1%' to '100%'")
    return share


WholePercentage = Annotated[Percentage, AfterValidator(_whole)]
Count = Annotated[Integer, Field(ge=1)]
RetryOn = Literal["5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-4xx"]


class OutlierDetection(Block):
    """When an instance is taken out, and for how long."""

    consecutive_errors: Count
    interval: Duration
    base_ejection_time: Duration
    max_ejection: Annotated[WholePercentage, AfterValidator(_some)]


class ConnectionPool(Block):
    """How much one client may ask for."""

    max_connections: Count
    http1_max_pending_requests: Count
    max_requests_per_connection: Count


class CircuitBreaker(Block):
    """Seed, "Circuit Breaker Configuration"."""

    name: Name
    outlier_detection: OutlierDetection
    connection_pool: ConnectionPool


class RetryPolicy(Block):
    """Seed, "Retry and Timeout Policies"."""

    name: Name
    attempts: Count
    per_try_timeout: Duration
    retry_on: Annotated[tuple[RetryOn, ...], Field(min_length=1)]
    timeout: Duration


class Mesh(Block):
    """The mesh's policies for one host, the service's name inside the mesh."""

    host: Name
    circuit_breaker: CircuitBreaker
    retry_policy: RetryPolicy
