"""The control plane at the surviving site: Prefect with its database, and the loops beside it."""

from pathlib import Path

from infra.control import (
    Control,
    ControlProgram,
    client_environment,
    control_programs,
    database_url,
    server_environment,
    watch_command,
)
from infra.lab.home import Home
from infra.lab.processes import Server, as_account, own
from tasks.clients import command
from tasks.plan.plan import Plan


def control_of(home: Home, plan: Plan) -> Control:
    """The lab's control plane, as its clients see it."""
    site = plan.site_of("dr")
    name, host = next(iter(plan.sites[site].running("control").items()))
    prefect_home = home.root(site, name) / "var/lib/prefect"
    password, authority = f"admin:{plan.secret('prefect_api')}", plan.secret_path("ca_certificate")
    return Control(str(host.address), prefect_home, password, authority=authority)


def client_settings(home: Home, plan: Plan) -> dict[str, str]:
    """The environment of whatever talks to the lab's Prefect, the plan included."""
    return client_environment(control_of(home, plan)) | {"DR_PLAN": str(home.plan_file)}


def control_servers(home: Home, plan: Plan, site: str, host: str) -> list[Server]:
    """The control plane's servers, in starting order."""
    root, control = home.root(site, host), control_of(home, plan)
    prefix, binaries = tuple(home.network().prefix(site)), plan.access.postgres_bin
    config = f"--config-file={root}/etc/postgresql/postgresql.conf"
    postgres = [f"{binaries}/postgres", "-D", str(_data(root)), config]
    client = client_settings(home, plan)
    server = server_environment(control, database_url(plan, control), plan.secret("prefect_encryption"))

    def started(program: ControlProgram) -> Server:
        key, environment = f"{site}/{host}/{program.name}", server if program.serves else client
        return Server(
            key, program.argv, root, control.address, program.port, environment, prefix, as_root=True
        )

    return [
        Server(f"{site}/{host}/prefect-database", postgres, root, control.address, 5432, prefix=prefix),
        *map(started, control_programs(plan, control)),
    ]


def watch_server(home: Home, plan: Plan, site: str, host: str) -> Server:
    """The watch of a site, on one of its hosts."""
    address, prefix = str(plan.sites[site].hosts[host].address), tuple(home.network().prefix(site))
    root, environment = home.root(site, host), client_settings(home, plan)
    key, argv = f"{site}/{host}/watch", watch_command(site)
    return Server(key, argv, root, address, None, environment, prefix, as_root=True)


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
