"""What strikes a recovery from outside: control plane, surviving sites, lines, second triggers."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import psutil
from campaign import ENDLESS_S, Campaign, Ended
from disks import fill, give_disk, make_room, take_disk

from deployments.trigger import Api, trigger, wait_for
from infra.lab.control import client_settings, prepare_database
from infra.lab.processes import frozen, kill_all, running, start
from infra.lab.servers import servers
from infra.lab.starting import start_missing
from tasks.clients import patroni
from tasks.clients.layout import Layout
from tasks.clients.truth import read_truth
from tasks.errors import DrError
from tasks.plan.sites import Role

_DATABASE_DOWN_S = 60
_RUN_S = 240
_LOST_S = 45
_UP_S, _DOWN_S = 4, 2
_SPARE_MB = 600


def _here(lab: Campaign, flow: str) -> Ended:
    return lab.wait(lab.start("run", flow))


def _through_api(lab: Campaign, flow: str) -> Ended:
    """By the Prefect API, waiting through whatever becomes of the server."""
    api, began = _api(lab), time.monotonic()
    try:
        state = wait_for(api, trigger(api, flow, {}, str(uuid4())), _RUN_S)
    except DrError as error:
        return Ended(1, str(error), time.monotonic() - began)
    good = state["type"] == "COMPLETED"
    return Ended(0 if good else 1, state.get("message") or state["name"], time.monotonic() - began)


def _api(lab: Campaign) -> Api:
    settings = client_settings(lab.home, lab.plan)
    return Api(settings["PREFECT_API_URL"], settings["PREFECT_API_AUTH_STRING"])


def _during(
    broken: Callable[[Campaign], AbstractContextManager[None]], by: Callable[[Campaign, str], Ended]
) -> Callable[[Campaign, str], Ended]:
    def struck(lab: Campaign, flow: str) -> Ended:
        with broken(lab):
            return by(lab, flow)

    return struck


def _process(lab: Campaign, program: str, site: str) -> psutil.Process:
    found = running(lab.home.directory)
    return next(found[key] for key in found if key.startswith(f"{site}/") and key.endswith(f"/{program}"))


def _kill(process: psutil.Process) -> None:
    for each in [*process.children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


@contextmanager
def _killed(program: str, role: Role, lab: Campaign) -> Iterator[None]:
    """A program is killed, and started again afterwards as its supervisor would."""
    _kill(_process(lab, program, lab.plan.site_of(role)))
    try:
        yield
    finally:
        _start_again(lab, lab.plan.site_of(role))


def _start_again(lab: Campaign, site: str) -> None:
    """Start what is missing of a site, and of nothing else: another one may be broken on purpose."""
    programs = {program for host in lab.plan.sites[site].hosts.values() for program in host.runs}
    start_missing(lab.home.directory, servers(lab.home, lab.plan, site, *programs))


def _frozen(program: str, role: Role, lab: Campaign) -> AbstractContextManager[None]:
    """A program answers nobody."""
    return frozen(_process(lab, program, lab.plan.site_of(role)))


def _server_dies(lab: Campaign, flow: str) -> Ended:
    """The Prefect server is killed as soon as the run has begun, and comes back when it is over."""
    api = _api(lab)
    run = trigger(api, flow, {}, str(uuid4()))
    deadline = time.monotonic() + 30
    while api.call("GET", f"/flow_runs/{run}")["state"]["type"] in {"SCHEDULED", "PENDING"}:
        if time.monotonic() > deadline:
            return Ended(1, "the run did not begin", 30)
        time.sleep(0.05)
    with _killed("prefect-server", "dr", lab):
        time.sleep(15)
    state = wait_for(api, run, _RUN_S)
    return Ended(0 if state["type"] == "COMPLETED" else 1, state.get("message") or state["name"], 0)


def _database_stops(lab: Campaign, flow: str) -> Ended:
    """Prefect's database answers nobody for a minute, from just after the trigger."""
    api = _api(lab)
    run = trigger(api, flow, {}, str(uuid4()))
    with _frozen("prefect-database", "dr", lab):
        time.sleep(_DATABASE_DOWN_S)
    state = wait_for(api, run, _RUN_S)
    return Ended(0 if state["type"] == "COMPLETED" else 1, state.get("message") or state["name"], 0)


def _two_triggers(lab: Campaign, flow: str) -> Ended:
    """The API twice and break-glass, at once: one acts, the others refuse or do nothing."""
    api = _api(lab)
    runs = [trigger(api, flow, {}, str(uuid4())) for _ in range(2)]
    here = lab.start("run", flow)
    states = [wait_for(api, run, _RUN_S)["type"] for run in runs]
    ended = lab.wait(here)
    acted = states.count("COMPLETED") + (ended.code == 0)
    told = f"API runs {states}, break-glass exit {ended.code}\n{ended.told[-800:]}"
    return Ended(0 if acted == 1 else 1, told, ENDLESS_S)


@contextmanager
def _site_down(role: Role, lab: Campaign) -> Iterator[None]:
    """A whole site is dead."""
    site = lab.plan.site_of(role)
    lab.dr("lab", "break", site)
    try:
        yield
    finally:
        lab.dr("lab", "heal", site)


def _database_is_lost(lab: Campaign, flow: str) -> Ended:
    """Prefect's server and its database die as soon as the run was asked for, with all they knew."""
    site, began = lab.plan.site_of("dr"), time.monotonic()
    with suppress(DrError):
        trigger(_api(lab), flow, {}, str(uuid4()))
    for program in ("prefect-server", "prefect-database"):
        _kill(_process(lab, program, site))
    root = lab.home.root(site, next(iter(lab.plan.sites[site].running("control"))))
    shutil.rmtree(root / "var/lib/postgresql/prefect")
    time.sleep(_LOST_S)  # what was started may come to its end
    prepare_database(lab.plan, root)
    _start_again(lab, site)
    lab.dr("deploy")
    return Ended(1, "its run is not known any more", time.monotonic() - began)


@contextmanager
def _flapping(lab: Campaign) -> Iterator[None]:
    """The databases of the site that is active now come up and die, again and again."""
    site, over = read_truth(lab.plan)[0].active, threading.Event()
    whole = not lab.home.broken(site)

    def kill() -> None:
        for host in lab.plan.sites[site].running("postgres"):
            kill_all(lab.home.directory, lab.home.root(site, host), f"{site}/{host}/")

    def flap() -> None:
        while not over.is_set():
            alive = running(lab.home.directory)
            for server in servers(lab.home, lab.plan, site, "postgres"):
                if server.key not in alive:
                    start(lab.home.directory, server)
            over.wait(_UP_S)
            kill()
            over.wait(_DOWN_S)

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
        if whole:
            start_missing(lab.home.directory, servers(lab.home, lab.plan, site, "postgres"))


@contextmanager
def _disk_full(role: Role, lab: Campaign) -> Iterator[None]:
    """No byte more can be written where a site's databases lie."""
    site = lab.plan.site_of(role)
    database = servers(lab.home, lab.plan, site, "postgres")
    data = [Layout.of(lab.plan, site, server.key.split("/")[1]).data_dir for server in database]
    # What is restored beside them lies on the same disk.
    folders = [each.parent for each in data]

    def stopped(act: Callable[[Path], None]) -> None:
        for server, folder in zip(database, folders, strict=True):
            kill_all(lab.home.directory, server.root, server.key.rpartition("/")[0] + "/")
            act(folder)
        start_missing(lab.home.directory, database)

    def well() -> None:
        if all(each.exists() for each in data):  # a site without databases waits for its recovery
            _until_well(lab, site)

    stopped(partial(give_disk, spare_mb=_SPARE_MB))
    try:
        well()
        for folder in folders:
            fill(folder)
        yield
    finally:
        for folder in folders:
            make_room(folder)
        stopped(take_disk)
        well()


def _until_well(lab: Campaign, site: str) -> None:
    """Wait for every node; one whose upstream is dead has nothing to stream from."""
    wanted = len(lab.plan.sites[site].running("postgres"))
    alone = any(lab.home.broken(other) for other in lab.plan.sites if other != site)
    states = {"running", "streaming", *(["in archive recovery"] if alone else [])}

    def all_are_well() -> bool:
        return sum(it.state in states for it in patroni.members(lab.plan, site)) == wanted

    _until(all_are_well)


def _until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(DrError):
            if seen():
                return
        time.sleep(0.3)
    raise AssertionError("the databases did not come up again")


@contextmanager
def _worse_lines(role: Role, delay_ms: int, loss_percent: int, lab: Campaign) -> Iterator[None]:
    """A site's lines to everything else are slow or lossy."""
    site = lab.plan.site_of(role)
    lab.dr("lab", "worsen", site, "--delay", str(delay_ms), "--loss", str(loss_percent))
    try:
        yield
    finally:
        lab.dr("lab", "heal", site)


Fault = Callable[[Campaign, str], Ended]
"""A flow run while something lasts; how that run ended."""

FAULTS: dict[str, Fault] = {
    "Prefect server killed": _server_dies,
    "Prefect database stopped 60 s": _database_stops,
    "Prefect database lost": _database_is_lost,
    "DR etcd member down": _during(partial(_killed, "etcd", "dr"), _here),
    "archive etcd member down": _during(partial(_killed, "etcd", "archive"), _here),
    "archive store down": _during(partial(_killed, "storage", "archive"), _here),
    "archive site down": _during(partial(_site_down, "archive"), _here),
    "DR store frozen": _during(partial(_frozen, "storage", "dr"), _here),
    "primary flapping": _during(_flapping, _here),
    "DR disk full": _during(partial(_disk_full, "dr"), _here),
    "two triggers and break-glass": _two_triggers,
}

LINK_FAULTS: dict[str, Fault] = {
    "slow lines (150 ms)": _during(partial(_worse_lines, "dr", 150, 0), _here),
    "lossy lines (5%)": _during(partial(_worse_lines, "dr", 0, 5), _here),
    "slow and lossy lines (80 ms and 2%)": _during(partial(_worse_lines, "archive", 80, 2), _here),
}
"""Those that need the lab's own lines, so a network of namespaces."""
