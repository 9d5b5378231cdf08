"""The plan's own blocks: what the seed leaves open about one service in several regions."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tasks.plan.base import Block
from tasks.plan.fencing import Fencing
from tasks.plan.http_probe import Proof
from tasks.plan.infrastructure import Infrastructure
from tasks.plan.schedule import Schedule
from tasks.plan.services import Priority, Turn
from tasks.plan.traffic import Endpoint
from tasks.plan.values import (
    Address,
    Command,
    Duration,
    Name,
    Patience,
    SecretRef,
    ServiceCommand,
    matching,
    refusal,
)

Role = Literal["primary", "dr", "archive"]
Program = Literal[
    "postgres", "etcd", "gateway", "pgbouncer", "redis", "sentinel", "storage", "service", "control", "watch"
]
Database = Annotated[
    str, matching(r"[a-z_][a-z0-9_]{0,62}", "lower-case letters, digits and underscores, 63 at most")
]
Bucket = Annotated[
    str,
    matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "3 to 63 lower-case letters, digits, dots and hyphens"),
]
RoleArn = Annotated[str, matching(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+", "the ARN of an IAM role")]
AbsolutePath = Annotated[str, matching(r"/\S*", "an absolute path")]


def _storage_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        complete = parts.hostname and parts.port
    except ValueError:
        complete = None
    if parts.scheme != "https" or not complete or parts.path or parts.query or parts.username:
        raise refusal("not the address of an object store", "https://HOST:PORT, nothing after it")
    return value


StorageUrl = Annotated[str, AfterValidator(_storage_url)]


class Service(Block):
    """The protected service, and its place among the further services."""

    name: Name
    tier: str
    database: Database
    endpoint: Endpoint
    proof: Proof
    priority: Priority = 1
    depends_on: tuple[Name, ...] = ()

    @property
    def turn(self) -> Turn:
        """When it is recovered."""
        return Turn(self.priority, self.depends_on)


class Host(Block):
    """One machine: an address, a zone, and the programs it runs."""

    address: Address
    zone: Name
    runs: Annotated[tuple[Program, ...], Field(min_length=1)]


class Storage(Block):
    """A site's object store and the references to its two credentials.

    `owner` reads and writes this site's bucket; `reader` only reads it and is what the next site
    pulls with. Where `native_replication` names an IAM role, S3 itself replicates this bucket to the next
    site's with it, and the pull heals what is missing. `status_bucket` holds the public status page and
    nothing else: anybody reads it, and `owner` alone writes it.
    """

    endpoint: StorageUrl
    bucket: Bucket
    owner: SecretRef
    reader: SecretRef
    object_lock: Duration | None = None
    native_replication: RoleArn | None = None
    status_bucket: Bucket | None = None


class Site(Block):
    """One region's stack.

    `dcs` says where the site's Patroni cluster keeps its configuration and its leader: shared is the plan's
    etcd, own is whatever the site has (etcd, Consul, ZooKeeper, Kubernetes); nothing here ever talks to that.
    `fence` is for a site with its own.
    """

    role: Role
    dcs: Literal["shared", "own"] = "shared"
    fence: Fencing | None = None
    hosts: Annotated[dict[Name, Host], Field(min_length=1)]
    storage: Storage

    def running(self, program: Program) -> dict[str, Host]:
        """The hosts that run a program, in the plan's order."""
        return {name: host for name, host in self.hosts.items() if program in host.runs}

    def addresses(self, program: Program) -> list[str]:
        """The addresses of the hosts that run a program."""
        return [str(host.address) for host in self.running(program).values()]

    @property
    def gateway(self) -> str:
        """The base of every request through the site's own gateway."""
        return f"http://{self.addresses('gateway')[0]}:8080"


class Secrets(Block):
    """References to secrets: "file:PATH" beside the plan, or "env:NAME".

    Without `notices_token` no notice from outside is taken.
    """

    ca_certificate: SecretRef
    database_superuser: SecretRef
    database_replication: SecretRef
    database_service: SecretRef
    patroni_api: SecretRef
    redis: SecretRef
    repository_cipher: SecretRef
    files_cipher: SecretRef
    prefect_api: SecretRef
    prefect_database: SecretRef
    prefect_encryption: SecretRef
    notices_token: SecretRef | None = None


class Access(Block):
    """How the flows reach a host, and where things lie on one.

    `operators` are addresses beside the hosts' own from which databases are reached. `start_database` and
    `stop_database` are run where the flow runs: they start and stop a host's Patroni, with its PostgreSQL.
    So do `start_service` and `stop_service` with one of the further services on a host.
    """

    shell: Command
    root: AbsolutePath
    postgres_bin: AbsolutePath
    start_database: Command
    stop_database: Command
    start_service: ServiceCommand | None = None
    stop_service: ServiceCommand | None = None
    operators: tuple[Address, ...] = ()


class Ledger(Block):
    """The clients' own record of acknowledged writes, to hold the reported loss against.

    `file` lies beside the plan, a JSON object a line with `id` and `acknowledged_at`; `query` takes an
    array of such ids and gives those of them that the database has, as `id`.
    """

    file: str
    query: str


class Watching(Block):
    """How sure the watch must be: an agreed loss is declared by itself after `confirm` more of it."""

    confirm: Duration


class Recovery(Block):
    """How closely the recovery is prepared.

    WAL is pulled every `pull_interval` without end; `wal_check` and `replication` are runs on a schedule.
    Before a hot standby is promoted, it replays the WAL that any surviving repository has and it has not, for
    `replay_within` at most; zero promotes at once. Where `standby` is cold, a site is recovered from backups
    even where a standby is left; `infrastructure` says how the hosts of a site come to be there.
    """

    ledger: Ledger | None = None
    pull_interval: Duration
    observe_interval: Duration
    archive_timeout: Duration
    wal_check: Schedule
    replication: Schedule
    watch: Watching
    replay_within: Patience = timedelta(seconds=30)
    standby: Literal["hot", "cold"] = "hot"
    infrastructure: Infrastructure | None = None
