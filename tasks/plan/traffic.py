"""Where users arrive, and what moves them from one site to another."""

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from tasks.errors import Refused
from tasks.plan.base import Block
from tasks.plan.mesh import WholePercentage
from tasks.plan.values import (
    Address,
    Duration,
    HttpUrl,
    Name,
    Percentage,
    Port,
    SecretRef,
    matching,
    percent,
    refusal,
)

Driver = Literal["haproxy", "route53", "istio"]
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_HOST = rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?"
HostName = Annotated[
    str, matching(_HOST, "a host name in lower case such as 'api.example.com', without a dot at its end")
]
ZoneId = Annotated[str, matching(r"[A-Z0-9]{1,32}", "a hosted zone's id such as 'Z0123456789ABCDEFGHIJ'")]
KubernetesUrl = Annotated[
    str, matching(r"https://[^\s/@?#]+(/[^\s@?#]*[^\s/@?#])?", "https://HOST:PORT, the Kubernetes API")
]
LabelKey = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,316}", "a Kubernetes label such as 'example.com/site'")
]
LabelValue = Annotated[
    str, matching(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "a Kubernetes label's value")
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(min_length=1)]


def is_address(value: str) -> bool:
    """Whether a record's answer is an IPv4 address rather than a host name."""
    try:
        IPv4Address(value)
    except ValueError:
        return False
    return True


def _answer(value: str) -> str:
    if not is_address(value) and re.fullmatch(_HOST, value) is None:
        raise refusal("malformed", "an IPv4 address, or a host name without a dot at its end")
    return value


def _rising(steps: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    if list(steps) != sorted(set(steps)) or steps[0] == 0 or steps[-1] != 1:
        told = ", ".join(map(percent, steps))
        raise refusal(f"{told} does not rise to all users", "rising percentages above 0%, the last '100%'")
    return steps


Answer = Annotated[str, AfterValidator(_answer)]
Steps = Annotated[tuple[WholePercentage, ...], Field(min_length=1), AfterValidator(_rising)]


class Route53(Block):
    """One record of Amazon Route 53, with an answer for each site; `api` where it is not Amazon's own.

    `weighted` routing has a record set for each site, called like the site; `failover` a primary and a
    secondary one, whose answers change places. `credentials` may list and change the zone's record sets and
    get changes, nothing else.
    """

    zone: ZoneId
    record: HostName
    values: dict[Name, Answer]
    ttl: Duration
    routing: Literal["weighted", "failover"] = "weighted"
    credentials: SecretRef
    api: HttpUrl | None = None

    @property
    def type(self) -> Literal["A", "CNAME"]:
        """The record's type, by its answers."""
        return "A" if all(map(is_address, self.values.values())) else "CNAME"


class Istio(Block):
    """The routes of the mesh's VirtualService, patched through the Kubernetes API.

    The VirtualService is the one that `mesh` describes, in `namespace`. Each site is a subset of the service,
    called like the site, known by its labels. `token` is a service account's, which may get and patch this
    VirtualService and nothing else; `ca_certificate` the authority of the API's certificate.
    """

    api: KubernetesUrl
    namespace: Name
    subsets: dict[Name, Labels]
    token: SecretRef
    ca_certificate: SecretRef


class Shift(Block):
    """A planned move in steps: the target's share after each, and how long each is watched.

    Where more than `error_limit` of the tries fail, users return to the last weights that held.
    """

    steps: Steps = (Decimal("0.01"), Decimal("0.1"), Decimal("0.5"), Decimal(1))
    pause: Duration
    error_limit: Percentage

    @property
    def shares(self) -> tuple[int, ...]:
        """The steps in percent."""
        return tuple(int(step * 100) for step in self.steps)


class Proxy(NamedTuple):
    """Where HAProxy takes users and orders."""

    address: IPv4Address
    port: int
    admin_port: int


class Endpoint(Block):
    """Where users arrive; outside every site.

    HAProxy stands at `address` and takes orders at `admin_port`, unless `route53` or `istio` moves the users.
    A planned move is done in steps where `shift` says so; an unplanned one never is.
    """

    address: Address | None = None
    port: Port
    admin_port: Port | None = None
    route53: Route53 | None = None
    istio: Istio | None = None
    shift: Shift | None = None

    @property
    def url(self) -> str:
        """The base of every request a user makes."""
        return f"http://{self.route53.record if self.route53 else self.address}:{self.port}"

    @property
    def driver(self) -> Driver:
        """What moves the users."""
        if self.route53:
            return "route53"
        return "istio" if self.istio else "haproxy"

    @property
    def proxy(self) -> Proxy:
        """HAProxy's place.

        Raises:
            Refused: something else moves the users.
        """
        if self.driver != "haproxy" or self.address is None or self.admin_port is None:
            hint = "the lab needs a plan with HAProxy: service.endpoint.address, port and admin_port"
            raise Refused("no HAProxy moves this plan's users", f"{self.driver} does", hint)
        return Proxy(self.address, self.port, self.admin_port)

    def by_site(self) -> tuple[str, Mapping[str, Any]]:
        """The key at which the driver names the sites, and what it needs of each; nothing for HAProxy."""
        if self.route53:
            return "route53.values", self.route53.values
        return ("istio.subsets", self.istio.subsets) if self.istio else ("", {})
