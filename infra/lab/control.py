"""The control plane at the surviving site: Prefect with its database, and the loops beside it."""

from pathlib import Path

from infra.control import (
    Control,
    client_environment,
    runner_command,
    server_command,
    server_environment,
    worker_command,
)
from infra.lab.home import Home
from infra.lab.home import program as program_path
from infra.lab.processes import Server, as_account, own
from infra.platform.metrics import EXPORTER_PORT, NOTICES_PORT
from tasks.clients import command
from tasks.plan.plan import Plan


def control_of(home: Home, plan: Plan) -> Control:
    """The lab's control plane, as its clients see it."""
    site = plan.site_of("dr")
    name, host = next(iter(plan.sites[site].running("control").items()))
    prefect_home = home.root(site, name) / "var/lib/prefect"
    return Control(str(host.address), prefect_home, f"admin:{plan.secret('prefect_api')}")


def client_settings(home: Home, plan: Plan) -> dict[str, str]:
    """The environment of whatever talks to the lab's Prefect, the plan included."""
    return client_environment(control_of(home, plan)) | {"DR_PLAN": str(home.plan_file)}


def control_servers(home: Home, plan: Plan, site: str, host: str) -> list[Server]:
    """The control plane's servers, in starting order."""
    root, control = home.root(site, host), control_of(home, plan)
    prefix = tuple(home.network().prefix(site))
    key, data = f"{site}/{host}", _data(root)
    postgres = [
        f"{plan.access.postgres_bin}/postgres",
        "-D",
        str(data),
        f"--config-file={root}/etc/postgresql/postgresql.conf",
    ]
    url = f"postgresql+asyncpg://prefect:{plan.secret('prefect_database')}@{control.address}:5432/prefect"
    server_env = server_environment(control, url, plan.secret("prefect_encryption"))
    client_env = client_settings(home, plan)
    ports: dict[str, int | None] = {"exporter": EXPORTER_PORT}
    if plan.secrets.notices_token:
        ports["notices"] = NOTICES_PORT
    if plan.telemetry.logs:
        ports["shipper"] = None

    def program(name: str, argv: list[str], env: dict[str, str], port: int | None = None) -> Server:
        return Server(f"{key}/{name}", argv, root, control.address, port, env, prefix, as_root=True)

    return [
        Server(f"{key}/prefect-database", postgres, root, control.address, 5432, prefix=prefix),
        program("prefect-server", server_command(control), server_env, control.port),
        program("runner", runner_command(), client_env),
        *(program(f"worker-{pool}", worker_command(pool), client_env) for pool in ("recovery", "routine")),
        *(
            program(f"loop-{name}", [program_path("python"), "-m", "deployments.loops", name], client_env)
            for name in ("observe", "pull", *(["inform"] if plan.crisis_communication else []))
        ),
        *(
            program(name, [program_path("python"), "-m", f"deployments.{name}"], client_env, port)
            for name, port in ports.items()
        ),
    ]


def watch_server(home: Home, plan: Plan, site: str, host: str) -> Server:
    """A vantage: it knows Prefect's address, and watches without it."""
    argv = [program_path("python"), "-m", "deployments.watch", site]
    address, prefix = str(plan.sites[site].hosts[host].address), tuple(home.network().prefix(site))
    root, env = home.root(site, host), client_settings(home, plan)
    return Server(f"{site}/{host}/watch", argv, root, address, None, env, prefix, as_root=True)


def prepare_database(plan: Plan, root: Path) -> None:
    """Make Prefect's own database cluster where there is none yet."""
    data = _data(root)
    if (data / "PG_VERSION").exists():
        return
    partial = data.with_name("prefect.partial")
    binaries, account = plan.access.postgres_bin, as_account()
    command.run([*account, "rm", "-rf", str(partial)], timeout=60)
    argv = [
        f"{binaries}/initdb",
        "-D",
        str(partial),
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "-N",
    ]
    command.run([*account, *argv, "--auth-local=peer", "--auth-host=scram-sha-256"], timeout=60)
    hba = partial / "pg_hba.conf"
    hba.write_text("local all postgres peer\nhost all prefect samehost scram-sha-256\n")
    own(hba)
    setup = (
        f"create role prefect login password '{plan.secret('prefect_database')}';\n"
        "create database prefect owner prefect;\n"
    )
    single = [f"{binaries}/postgres", "--single", "-D", str(partial), "-j", "postgres"]
    command.run([*account, *single], timeout=60, stdin=setup.replace("\n", "\n\n"), cwd=root)
    partial.rename(data)


def prefect_home(root: Path) -> None:
    """Make Prefect's directory; the lab's control plane runs as the lab's owner."""
    (root / "var/lib/prefect").mkdir(parents=True, exist_ok=True)


def _data(root: Path) -> Path:
    return root / "var/lib/postgresql/prefect"
