"""The plan's own blocks: what the seed leaves open about one service in several regions."""

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field

from tasks.plan.base import Block
from tasks.plan.values import Duration

Role = Literal["primary", "dr", "archive"]
Program = Literal["postgres", "etcd", "gateway", "pgbouncer", "redis", "sentinel", "storage", "service", "control"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
SecretRef = Annotated[str, Field(pattern=r"^(file|env):\S+$")]


class Endpoint(Block):
    """Where users arrive; outside every site."""

    address: IPv4Address
    port: Port
    admin_port: Port

    @property
    def url(self) -> str:
        """The base of every request a user makes."""
        return f"http://{self.address}:{self.port}"


class Service(Block):
    """The protected service."""

    name: Name
    tier: str
    database: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
    endpoint: Endpoint


class Host(Block):
    """One machine: an address, a zone, and the programs it runs."""

    address: IPv4Address
    zone: Name
    runs: Annotated[tuple[Program, ...], Field(min_length=1)]


class Storage(Block):
    """A site's object store and the references to its two credentials.

    `owner` reads and writes this site's bucket; `reader` only reads it and is what the next site
    pulls with.
    """

    endpoint: Annotated[str, Field(pattern=r"^https://[^/\s]+$")]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    owner: SecretRef
    reader: SecretRef
    object_lock: Duration | None = None


class Site(Block):
    """One region's stack."""

    role: Role
    hosts: Annotated[dict[Name, Host], Field(min_length=1)]
    storage: Storage

    def running(self, program: Program) -> dict[str, Host]:
        """The hosts that run a program, in the plan's order."""
        return {name: host for name, host in self.hosts.items() if program in host.runs}

    def addresses(self, program: Program) -> list[str]:
        """The addresses of the hosts that run a program."""
        return [str(host.address) for host in self.running(program).values()]


class Secrets(Block):
    """References to secrets: "file:PATH" beside the plan, or "env:NAME"."""

    ca_certificate: SecretRef
    database_superuser: SecretRef
    database_replication: SecretRef
    database_service: SecretRef
    patroni_api: SecretRef
    redis: SecretRef
    repository_cipher: SecretRef
    prefect_api: SecretRef


class Access(Block):
    """How the flows reach a host, and where things lie on one."""

    shell: str
    root: str
    postgres_bin: str


class Recovery(Block):
    """How closely the recovery is prepared."""

    pull_interval: Duration
    observe_interval: Duration
    archive_timeout: Duration

