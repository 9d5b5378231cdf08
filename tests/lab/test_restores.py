"""With the primary site gone, every kind of asset comes back from both copies with its source's digests.

By the flows, and by the README's own blocks with nothing of ours.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from infra.lab.processes import as_account
from infra.lab.traffic import add_rows
from tasks import restore_database
from tasks.clients import cache, patroni
from tasks.clients.digests import digests_of
from tasks.clients.restic_command import On
from tasks.clients.trees import tree_digest

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(900)]

README = Path(__file__).parents[2] / "README.md"
UPLOADS = "srv/naas/uploads"
KEYS = {f"basket:{n}": f"value {n}" for n in range(200)}


class Live:
    """A running server, asked by psql."""

    def __init__(self, plan, host, password):
        # A socket asks who is at its other end.
        account = as_account() if host.startswith("/") else []
        self._argv = [*account, f"{plan.access.postgres_bin}/psql", "-h", host, "-U", "postgres"]
        self._environment = {"PATH": os.environ["PATH"], "PGPASSWORD": password}

    def query(self, text, *, database, timeout=60):
        argv = [*self._argv, "-d", database, "-XqAtF", "\t", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            argv,
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
        return done.stdout.splitlines()


@pytest.fixture(scope="module")
def lab(labs):
    """A lab with something of every kind in it, backed up and copied; then its primary site dies."""
    lab = labs.fresh("loopback")
    plan, site = lab.plan, lab.plan.site_of("primary")
    add_rows(plan, site, 20_000)
    with redis.Redis(host=cache.master_of(plan, site), password=plan.secret("redis")) as server:
        server.mset(KEYS)
    lab.back_up()
    yield lab
    labs.end()


@pytest.fixture(scope="module")
def source(lab):
    """What the primary site held, told before it dies."""
    plan, site = lab.plan, lab.plan.site_of("primary")
    leader = patroni.leader(plan, site)
    host = next(iter(plan.sites[site].running("service")))
    application = lab.home.directory / "repositories/application"
    told = {
        "database": digests_of(Live(plan, leader.host, plan.secret("database_superuser"))),
        "files": tree_digest(lab.home.root(site, host) / UPLOADS, plan=plan, on=On(site, host)),
        "configuration": git(application, "rev-parse", "HEAD"),
        "secrets": {
            path.name: path.read_text() for path in (plan.folder / "secrets").iterdir() if path.is_file()
        },
    }
    lab.dr("lab", "break", site)
    return told


def git(folder, *arguments):
    argv = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def asked(lab, flow, **parameters):
    words = (word for name, value in parameters.items() for word in ("--param", f"{name}={value}"))
    return lab.dr("run", flow, *words, timeout=300)


@pytest.mark.parametrize("role", ["dr", "archive"])
def test_every_kind_comes_back_from_a_copy(lab, source, role, tmp_path):
    site = lab.plan.site_of(role)
    asked(lab, "restore-files", into=tmp_path / "files", from_site=site)
    assert tree_digest(tmp_path / "files/uploads" / UPLOADS) == source["files"]
    asked(lab, "restore-configuration", name="application", into=tmp_path / "application", from_site=site)
    assert git(tmp_path / "application", "rev-parse", "HEAD") == source["configuration"]
    asked(lab, "restore-secrets", into=tmp_path / "opened", from_site=site)
    assert opened(tmp_path / "opened") == kept(source)
    asked(lab, "restore-redis", into=tmp_path / "dump.rdb", from_site=site)
    assert redis_content(tmp_path) == KEYS
    assert database_digests(lab.plan, site) == source["database"]


def test_every_kind_comes_back_by_hand(lab, source, tmp_path):
    place = Path("/tmp") / tmp_path.name  # noqa: S108 - sockets lie in it, and another account writes there
    place.mkdir(mode=0o755)
    shutil.chown(place, *(["postgres"] if os.geteuid() == 0 else [os.geteuid()]))
    try:
        by_hand(lab, place)
        host = Live(lab.plan, str(place), "")
        assert digests_of(host) == source["database"]
        assert tree_digest(place / "files" / UPLOADS) == source["files"]
        assert git(place / "application", "rev-parse", "HEAD") == source["configuration"]
        assert opened(place / "opened") == kept(source)
        with redis.Redis(unix_socket_path=str(place / "redis.sock"), decode_responses=True) as server:
            assert {key: server.get(key) for key in KEYS} == KEYS
    finally:
        put_away(lab.plan, place)


def by_hand(lab, place):
    """Run the README's blocks, as its reader does, with the lab's settings in place of the first block."""
    settings, *blocks = handwork()
    assert settings.startswith("# Where the copy is")
    plan, secrets = lab.plan, place / "secrets"
    storage = plan.sites[plan.site_of("archive")].storage
    reader = plan.credentials(storage.reader)
    # The operator kept the secrets elsewhere, readable by the account that restores.
    shutil.copytree(plan.folder / "secrets", secrets)
    for path in (secrets, *secrets.rglob("*")):
        shutil.chown(path, *(["postgres"] if os.geteuid() == 0 else [os.geteuid()]))
    settings = {
        "ENDPOINT": storage.endpoint.removeprefix("https://"),
        "BUCKET": storage.bucket,
        "REGION": plan.site_of("archive"),
        "SECRETS": str(secrets),
        "AWS_ACCESS_KEY_ID": reader.access_key,
        "AWS_SECRET_ACCESS_KEY": reader.secret_key,
    }
    programs = f"{Path(sys.executable).parent}:/usr/lib/postgresql/15/bin:{os.environ['PATH']}"
    script = "\n".join(["set -eu", *blocks])
    argv = [*as_account(), "sh", "-c", script]
    environment = {"PATH": programs, "HOME": str(place), "LANG": "C.UTF-8", **settings}
    done = subprocess.run(
        argv, cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def handwork():
    """The shell blocks of the README's section on restoring by hand."""
    _, section = README.read_text().split("### Restoring by hand", 1)
    section = re.split(r"^##+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


def put_away(plan, place):
    """End what the blocks started, by the pids they wrote, and remove all of it."""
    pid = place / "database/postmaster.pid"
    if pid.exists():
        argv = [
            *as_account(),
            f"{plan.access.postgres_bin}/pg_ctl",
            "-D",
            str(pid.parent),
            "-m",
            "immediate",
            "stop",
        ]
        subprocess.run(argv, timeout=60, check=True, capture_output=True)
    if (place / "redis.sock").exists():
        with redis.Redis(unix_socket_path=str(place / "redis.sock")) as server:
            server.shutdown(nosave=True)
    shutil.rmtree(place)


def opened(folder):
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir() if path.is_file()}


def kept(source):
    """All secrets but the key that opens them."""
    return {name: text for name, text in source["secrets"].items() if name != "recovery_key"}


def redis_content(folder):
    socket = folder / "r.sock"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    with subprocess.Popen([*argv, "--appendonly", "no"], stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(
                unix_socket_path=str(socket), decode_responses=True, retry_on_error=[redis.ConnectionError]
            ) as server:
                wait_for(server)
                return {key: server.get(key) for key in KEYS}
        finally:
            process.terminate()
            process.wait(10)


def wait_for(server):
    for _ in range(100):
        try:
            return server.ping()
        except (redis.ConnectionError, redis.BusyLoadingError):
            time.sleep(0.1)
    pytest.fail("the scratch Redis did not start")


def database_digests(plan, site):
    place = restore_database.choose_place(plan, site, None, None, keep=False, now=datetime.now(UTC))
    try:
        restore_database.restore_files.fn(plan, place)
        return restore_database.open_restored.fn(plan, place).digests
    finally:
        restore_database.put_away.fn(plan, place, keep=False)
