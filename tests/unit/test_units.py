"""The units of systemd: what they start, with which files, and what systemd says to them."""

import subprocess
from configparser import RawConfigParser

import pytest
from third_parties import Plans

from infra.lab.control import control_servers, watch_server
from infra.lab.home import DEFAULT_PLAN, Home
from infra.render import host_files
from infra.tree import write_all
from infra.units import INSTALLED, environment_file, unit_files, unit_secrets
from tasks.plan.load import load_plan

PLAN = load_plan(DEFAULT_PLAN)
HOSTS = [(site, host) for site, each in PLAN.sites.items() for host in each.hosts]
CONTROL = "us-west-2", "control-west"
UNITS = "etc/systemd/system"
PYTHON = str(INSTALLED / ".venv/bin/python")
NASTY = """a"b\\c$HOME`id`'d %h #e"""


@pytest.fixture(scope="module")
def with_secrets(tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plan")).plan


@pytest.fixture(scope="module")
def units():
    return {path: text for host in HOSTS for path, text in unit_files(PLAN, *host).items()}


def complaints(folder, name, text):
    """What systemd says to a unit, but that programs of another host are not on this one."""
    path = folder / name
    path.write_text(text)
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return [line for line in done.stderr.splitlines() if "is not executable" not in line]


def service(text):
    parser = RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(text)
    return parser["Service"]


def read_by_a_shell(folder, text):
    (folder / "environment").write_text(text)
    script = 'set -a; . "$1"; exec env -0'
    argv = ["env", "-i", "/bin/sh", "-c", script, "sh", str(folder / "environment")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True)
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_systemd_has_no_complaint(units, tmp_path):
    names = {path.removeprefix(f"{UNITS}/"): text for path, text in units.items()}
    assert {"etcd.service", "patroni.service", "naas-dr-runner.service", "naas-dr-watch.service"} <= set(
        names
    )
    assert [line for name, text in names.items() for line in complaints(tmp_path, name, text)] == []


@pytest.mark.parametrize(
    ("right", "wrong"), [("KillMode=", "KilMode="), ("Restart=always", "Restart=allways")]
)
def test_systemd_would_complain(units, tmp_path, right, wrong):
    text = units[f"{UNITS}/naas-dr-runner.service"]
    assert right in text
    assert complaints(tmp_path, "naas-dr-runner.service", text.replace(right, wrong))


def test_every_program_of_the_lab_s_control_plane_has_a_unit_that_starts_it_alike(with_secrets, tmp_path):
    (tmp_path / "network.kind").write_text("loopback")
    database, *servers = control_servers(Home(tmp_path), with_secrets, *CONTROL)
    watch = watch_server(Home(tmp_path), with_secrets, *CONTROL)
    found = unit_files(with_secrets, *CONTROL)
    assert "prefect-database" in database.key
    for server in [*servers, watch]:
        name = server.key.rpartition("/")[2]
        words = service(found.pop(f"{UNITS}/naas-dr-{name}.service"))["ExecStart"].split()
        assert words == [PYTHON, *server.argv[1:]]
    assert found == {}


@pytest.mark.parametrize(("program", "unit"), [("etcd", "etcd"), ("postgres", "patroni")])
def test_a_server_starts_with_the_files_that_are_rendered_for_it(program, unit):
    site, host = next((site, host) for site, host in HOSTS if program in PLAN.sites[site].hosts[host].runs)
    started = service(unit_files(PLAN, site, host)[f"{UNITS}/{unit}.service"])["ExecStart"]
    place = started.rpartition("/etc/")[2]
    paths = host_files(PLAN, site, host, active=site, secrets=False)
    assert any(path.startswith(f"etc/{place}") for path in paths)


def test_only_the_server_s_unit_is_told_the_database_and_only_if_secrets_are_asked_for(
    with_secrets, tmp_path
):
    told = unit_secrets(with_secrets, *CONTROL)
    password = with_secrets.secret("prefect_database")
    assert [path for path, text in told.items() if password in text] == ["etc/naas-dr/server.env"]
    for path, text in unit_files(with_secrets, *CONTROL).items():
        reads = service(text)["EnvironmentFile"].removeprefix("/")
        assert (reads == "etc/naas-dr/server.env") == ("prefect-server" in path)
        assert reads in told
    write_all(with_secrets, tmp_path, secrets=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.env")}
    assert modes == {"client.env": 0o600, "server.env": 0o600}


def test_a_secret_comes_through_whatever_is_in_it(tmp_path):
    assert read_by_a_shell(tmp_path, environment_file({"SECRET": NASTY}))["SECRET"] == NASTY


def test_a_host_without_programs_of_ours_has_neither_unit_norenvironment_file(with_secrets):
    site, host = next((s, h) for s, h in HOSTS if set(PLAN.sites[s].hosts[h].runs) <= {"redis", "sentinel"})
    assert unit_files(with_secrets, site, host) == unit_secrets(with_secrets, site, host) == {}
