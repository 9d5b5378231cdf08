"""The control plane's programs: how each is started, and what each is allowed to know."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.platform.metrics import EXPORTER_PORT, NOTICES_PORT
from tasks.plan.plan import Plan

RECOVERY_POOL = "recovery"
ROUTINE_POOL = "routine"
# On the deployments of drills, and so on their runs.
DRILL_TAG = "drill"
# The recovery worker looks for runs that were due this long ago: what the warm runner has not taken by then.
BACKUP_DELAY_SECONDS = 3


@dataclass(frozen=True)
class Control:
    """One Prefect control plane.

    Attributes:
        address: where the server listens.
        home: Prefect's directory, writable by the account of its programs.
        password: the shared password of API and UI, as "user:password".
        port: the server's port.
        authority: the certificates that its clients trust; well-known ones where None.
    """

    address: str
    home: Path
    password: str = field(repr=False)
    port: int = 4200
    authority: Path | None = None

    @property
    def api_url(self) -> str:
        """Where clients find the API."""
        return f"http://{self.address}:{self.port}/api"

    @property
    def user(self) -> str:
        """Whose the shared password is."""
        return self.password.partition(":")[0]

    @property
    def ui(self) -> Path:
        """Where the server keeps the UI's pages; its default is inside the installed package."""
        return self.home / "ui"


@dataclass(frozen=True)
class ControlProgram:
    """One program of the control plane, started again whenever it ends.

    Attributes:
        name: what it is called.
        argv: its command line.
        port: where it listens; None where it does not.
        serves: whether it is Prefect's server, which alone knows its database's password.
    """

    name: str
    argv: list[str]
    port: int | None = None
    serves: bool = False


def control_programs(plan: Plan, control: Control) -> list[ControlProgram]:
    """What the plan's control plane is made of, beside Prefect's database, in starting order."""
    loops = ("observe", "pull", *(["inform"] if plan.crisis_communication else []))
    ports: dict[str, int | None] = {"exporter": EXPORTER_PORT}
    if plan.secrets.notices_token:
        ports["notices"] = NOTICES_PORT
    if plan.telemetry.logs:
        ports["shipper"] = None
    return [
        ControlProgram("prefect-server", server_command(control), control.port, serves=True),
        ControlProgram("runner", runner_command()),
        *(ControlProgram(f"worker-{pool}", worker_command(pool)) for pool in (RECOVERY_POOL, ROUTINE_POOL)),
        *(ControlProgram(f"loop-{name}", _ours("loops", name)) for name in loops),
        *(ControlProgram(name, _ours(name), port) for name, port in ports.items()),
    ]


def watch_command(site: str) -> list[str]:
    """A vantage: it knows Prefect's address, and watches without it."""
    return _ours("watch", site)


def database_url(plan: Plan, control: Control) -> str:
    """Prefect's own database, beside its server, with its password."""
    return f"postgresql+asyncpg://prefect:{plan.secret('prefect_database')}@{control.address}:5432/prefect"


def client_environment(control: Control) -> dict[str, str]:
    """The settings of everything that talks to the server: workers, the warm runner, flows, `dr`.

    Secrets travel here and never in argv. A process started with these finds no database password.
    """
    return {
        "PREFECT_API_URL": control.api_url,
        "PREFECT_API_AUTH_STRING": control.password,
        "PREFECT_HOME": str(control.home),
        # Prefect's client reads all it trusts for each connection, also for one without TLS: here just one.
        **({"PREFECT_API_SSL_CERT_FILE": str(control.authority)} if control.authority else {}),
        # Prefect retries 408, 429, 502 and 503 itself; its server answers 500 while PostgreSQL restarts.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        # The one requirements file pins both sides; the check is a request before every run's first line.
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
    }


def server_environment(control: Control, database_url: str, encryption_key: str) -> dict[str, str]:
    """The server's settings.

    Args:
        control: the control plane.
        database_url: PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`.
        encryption_key: a Fernet key; without one Prefect keeps its own beside what it encrypts.
    """
    return {
        **client_environment(control),
        "PREFECT_SERVER_API_AUTH_STRING": control.password,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key,
        # The default keeps leases in memory: a server restart would fail every running flow that has a limit.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # At /api/metrics, behind the same password.
        "PREFECT_SERVER_METRICS_ENABLED": "true",
        # A run that waits for its deployment's slot asks again this often; 30 s by default.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        # The UI sends the password in a header of its own; no other origin is let in.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{control.address}:{control.port}",
        "PREFECT_SERVER_UI_API_URL": control.api_url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(control.ui),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def server_command(control: Control) -> list[str]:
    """The API, the UI, the scheduler and the other services, in one process."""
    return [*_PREFECT, "server", "start", "--host", control.address, "--port", str(control.port)]


def worker_command(pool: str) -> list[str]:
    """A process worker of one work pool.

    The recovery pool's worker is the warm runner's backup, not its rival: its look-ahead is negative.
    """
    ahead = -BACKUP_DELAY_SECONDS if pool == RECOVERY_POOL else 0
    return [
        *(*_PREFECT, "worker", "start", "--type", "process", "--pool", pool, "--name", f"{pool}-worker"),
        f"--prefetch-seconds={ahead}",
    ]


def runner_command(modules: Sequence[str] = ()) -> list[str]:
    """The warm runner; it imports `modules` ahead of time, or those of the recovery deployments."""
    return _ours("runner", *modules)


def _ours(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"deployments.{module}", *arguments]


_PREFECT = (sys.executable, "-m", "prefect")
