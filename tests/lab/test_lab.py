"""`dr lab`: refusals touch nothing, `up` repairs whatever is missing, `down` leaves nothing.

SEED and COUNT choose the moments at which `up` is killed: `COUNT=10 pytest tests/lab/test_lab.py -k killed`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from lab_handle import DR, run_dr, tail, traces
from waiting import until

from infra.lab import provision
from infra.lab.home import DEFAULT_PLAN, Home
from infra.lab.network import Namespaces, control
from infra.lab.network.state import State
from infra.lab.processes import kill_all, running
from tasks.clients import patroni, postgres, service
from tasks.errors import DrError

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
COUNT = int(os.environ.get("COUNT", "2"))


@pytest.fixture
def nowhere(tmp_path):
    return tmp_path / "lab"


def refused(done, *words):
    assert done.returncode == 2, tail(done)
    for word in words:
        assert word in done.stderr, done.stderr
    return True


def test_without_a_lab_down_is_content_and_the_others_say_so(nowhere):
    assert run_dr("lab", "down", directory=nowhere).returncode == 0
    for arguments in (("status",), ("break", "us-east-1"), ("cut", "us-east-1"), ("heal", "us-east-1")):
        assert refused(run_dr("lab", *arguments, directory=nowhere), "there is no lab", "dr lab up")
    assert not nowhere.exists()


def test_a_plan_with_mistakes_is_refused_before_anything_is_touched(nowhere, tmp_path):
    plan = yaml.safe_load(DEFAULT_PLAN.read_text())
    plan["service"]["tier"] = "platinum"
    plan["recovery"]["pull_interval"] = "-1 seconds"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(plan))
    done = run_dr("lab", "up", "--plan", str(wrong), directory=nowhere)
    assert refused(done, "service.tier", "recovery.pull_interval")
    assert not nowhere.exists()


def test_missing_programs_are_named_at_once_with_the_command_that_installs_them(nowhere):
    done = run_dr("lab", "up", directory=nowhere, path="/nowhere")
    packages = (
        "etcd-server",
        "haproxy",
        "iproute2",
        "pgbackrest",
        "pgbouncer",
        "redis-sentinel",
        "redis-server",
    )
    assert refused(done, *packages, "infra/lab/install-apt etcd-server git haproxy")
    assert not nowhere.exists()


def test_an_environment_that_the_servers_account_cannot_reach_is_refused(nowhere, monkeypatch, tmp_path):
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    for name in ("patroni", "weed"):
        (closed / "bin" / name).touch()
    closed.chmod(0o700)
    program = (
        "import sys; from pathlib import Path; from infra.lab import preflight;"
        "preflight.program = lambda name: str(Path(sys.argv[1]) / name);"
        "preflight.require_programs('loopback')"
    )
    argv = [sys.executable, "-c", program, str(closed / "bin")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "cannot reach the Python environment" in done.stderr
    assert "chmod o+x" in done.stderr


def test_a_directory_that_is_not_a_labs_is_neither_taken_nor_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for command in ("up", "down"):
        assert refused(run_dr("lab", command, directory=tmp_path), "not a lab's", "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_up_again_leaves_what_runs_alone(shared_lab):
    lab = shared_lab()
    before = processes(lab)
    began = time.monotonic()
    lab.dr("lab", "up")
    print(f"up, everything running: {time.monotonic() - began:.1f} s")  # noqa: T201 - shown, not judged
    assert processes(lab) == before
    assert_serves(lab)


def test_up_repairs_what_died_and_status_tells_the_truth_before_and_after(shared_lab):
    lab = shared_lab()
    assert lab.attempt("lab", "status").returncode == 0
    killed = ["patroni", "redis", "sentinel", "haproxy", "storage", "etcd", "loop-observe", "receiver"]
    victims = {
        name: next(key for key in sorted(processes(lab)) if key.endswith(f"/{name}")) for name in killed
    }
    found = running(lab.home.directory)
    for key in victims.values():
        found[key].kill()
    psutil.wait_procs([found[key] for key in victims.values()], timeout=5)
    status = lab.attempt("lab", "status")
    assert status.returncode == 1
    # Patroni's PostgreSQL outlived it; that does not make Patroni alive.
    assert set(victims.values()).isdisjoint(processes(lab))
    survivors = processes(lab)
    lab.dr("lab", "up")
    assert survivors.items() <= processes(lab).items()
    assert lab.attempt("lab", "status").returncode == 0
    assert_serves(lab)


@pytest.mark.long
def test_up_repairs_a_cluster_that_only_one_dead_node_can_lead(labs, shared_lab):
    lab = shared_lab()
    site = lab.plan.site_of("primary")
    first = next(iter(lab.plan.sites[site].running("postgres")))
    if patroni.leader(lab.plan, site).name == first:
        lose(lab, site, first)
        until(lambda: led_by_another(lab, site, first))
        lab.dr("lab", "up")
    leader = patroni.leader(lab.plan, site)
    others = [name for name in lab.plan.sites[site].running("postgres") if name != leader.name]
    for name in others:
        lose(lab, site, name)
    until(lambda: takes_writes(lab, leader.host))  # none of the others may be waited for, or lead
    lose(lab, site, leader.name)
    lab.dr("lab", "up")
    assert patroni.leader(lab.plan, site).name == leader.name
    assert_serves(lab)
    labs.end()  # those after this one expect the first node to lead


def lose(lab, site, host):
    kill_all(lab.home.directory, lab.home.root(site, host), f"{site}/{host}/")


def led_by_another(lab, site, than):
    with suppress(DrError):
        return patroni.leader(lab.plan, site).name != than
    return False


def takes_writes(lab, address):
    with suppress(DrError):
        return postgres.prove_write(lab.plan, address, "alone")


def test_another_network_than_the_running_one_is_refused(shared_lab):
    lab = shared_lab()
    assert refused(lab.attempt("lab", "up", "--network", "namespaces"), "runs on loopback", "dr lab down")
    assert refused(lab.attempt("lab", "cut", lab.plan.site_of("primary")), "cannot be cut", "namespaces")
    assert refused(lab.attempt("lab", "break", "atlantis"), "no site atlantis")


def test_of_two_ups_at_once_one_waits_for_nobody_and_nothing_starts_twice(shared_lab):
    lab = shared_lab()
    before = processes(lab)
    ups = [start_up(lab.home.directory, "loopback") for _ in range(2)]
    codes = sorted(up.wait(timeout=120) for up in ups)
    assert codes in ([0, 0], [0, 1])
    assert processes(lab) == before


@pytest.mark.long
def test_what_was_broken_comes_back_with_up(shared_lab):
    lab = shared_lab()
    site = lab.plan.site_of("dr")
    lab.dr("lab", "break", site)
    assert not any(key.startswith(f"{site}/") for key in processes(lab))
    began = time.monotonic()
    lab.dr("lab", "up")
    print(f"up after a break: {time.monotonic() - began:.1f} s")  # noqa: T201 - shown, not judged
    assert lab.attempt("lab", "status").returncode == 0
    assert_serves(lab)


@pytest.mark.long
@pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available()))
def test_a_broken_site_heals_among_namespaces_and_the_link_outlives_every_command(shared_lab):
    lab = shared_lab("namespaces")
    site = lab.plan.site_of("dr")
    (link,) = control.links(State(lab.home.directory / "network"))
    lab.dr("lab", "break", site)
    lab.dr("lab", "heal", site)
    assert control.links(State(lab.home.directory / "network")) == [link]
    assert lab.attempt("lab", "status").returncode == 0
    provision.streaming(lab.plan, lab.plan.site_of("primary"))
    assert_serves(lab)


@pytest.mark.long
@pytest.mark.fault
@pytest.mark.timeout(120 + 200 * COUNT)
def test_up_killed_at_random_moments_is_repaired_by_up_and_removed_by_down(labs):
    labs.end()
    rng = random.Random(SEED)  # noqa: S311 - moments that can be repeated, not secrets
    kinds = ["loopback", "namespaces"] if Namespaces.available() is None else ["loopback"]
    directory = Path("/tmp") / f"dr-crash-{os.getpid()}"  # noqa: S108 - short, because sockets lie in it
    try:
        for number in range(COUNT):
            crash_and_recover(directory, kinds[number % len(kinds)], rng, group=bool(number // 2 % 2))
    finally:
        run_dr("lab", "down", directory=directory)


def crash_and_recover(directory, kind, rng, *, group):
    home = Home(directory)
    seconds = crash(directory, kind, rng, group=group)
    down(directory)
    seconds += crash(directory, kind, rng, group=group)
    began = time.monotonic()
    up = run_dr("lab", "up", "--network", kind, directory=directory)
    took = time.monotonic() - began
    assert up.returncode == 0, (SEED, seconds, tail(up))
    assert run_dr("lab", "status", directory=directory).returncode == 0
    service.round_trip(home.plan(), home.plan().service.endpoint.url)
    down(directory)
    moments = ", ".join(f"{second:.2f}" for second in seconds)
    print(f"seed {SEED}, {kind}, group={group}: killed after {moments} s; up took {took:.1f} s")  # noqa: T201


def crash(directory, kind, rng, *, group):
    """Kill an `up` on its way, alone or with all that it started in its group; the moment, in a list."""
    seconds = rng.uniform(0.3, 25)
    up = start_up(directory, kind)
    with suppress(subprocess.TimeoutExpired):
        assert up.wait(timeout=seconds) == 0
    if group:
        with suppress(ProcessLookupError):
            os.killpg(up.pid, signal.SIGKILL)
    up.kill()
    up.wait()
    return [seconds]


def start_up(directory, kind):
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DR_LAB": str(directory)}
    return subprocess.Popen(
        [DR, "lab", "up", "--network", kind],
        env=environment,
        process_group=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def down(directory):
    done = run_dr("lab", "down", directory=directory)
    assert done.returncode == 0, (SEED, tail(done))
    assert traces(directory) == [], SEED


def processes(lab):
    return {key: process.pid for key, process in running(lab.home.directory).items()}


def assert_serves(lab):
    # The endpoint looks at a gateway that came back every ten seconds.
    served = partial(service.round_trip, lab.plan, lab.plan.service.endpoint.url)
    assert provision._until(served, "the public endpoint", timeout=60) == lab.plan.site_of("primary")
    assert httpx.get(f"{lab.plan.service.endpoint.url}/health", timeout=5).json()
