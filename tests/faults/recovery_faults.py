"""What strikes a recovery from outside: the control plane, the surviving sites, and second triggers."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from uuid import uuid4

import psutil
from campaign import ENDLESS_S, Campaign, Ended

from deployments.trigger import Api, trigger, wait_for
from infra.lab.control import client_settings
from infra.lab.processes import running
from infra.lab.provision import start_missing
from infra.lab.servers import servers
from tasks.errors import DrError
from tasks.plan.sites import Role

_DATABASE_DOWN_S = 60
_RUN_S = 240


def strike(lab: Campaign, fault: str, flow: str) -> str:
    """Run a flow while a fault lasts; its last words where it did not succeed, else nothing."""
    told = FAULTS[fault](lab, flow)
    return "" if told.code == 0 else told.told[-1500:]


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


@contextmanager
def _killed(program: str, role: Role, lab: Campaign) -> Iterator[None]:
    """A program is killed, and started again afterwards as its supervisor would."""
    process = _process(lab, program, lab.plan.site_of(role))
    for child in [*process.children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    try:
        yield
    finally:
        _start_again(lab, lab.plan.site_of(role))


def _start_again(lab: Campaign, site: str) -> None:
    """Start what is missing of a site, and of nothing else: another one may be broken on purpose."""
    programs = {program for host in lab.plan.sites[site].hosts.values() for program in host.runs}
    start_missing(lab.home.directory, servers(lab.home, lab.plan, site, *programs))


@contextmanager
def _frozen(program: str, role: Role, lab: Campaign) -> Iterator[None]:
    """A program and all of its children answer nobody."""
    process = _process(lab, program, lab.plan.site_of(role))
    family = [process, *process.children(recursive=True)]
    for each in family:
        each.suspend()
    try:
        yield
    finally:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.resume()


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


FAULTS: dict[str, Callable[[Campaign, str], Ended]] = {
    "Prefect server killed": _server_dies,
    "Prefect database stopped 60 s": _database_stops,
    "DR etcd member down": _during(partial(_killed, "etcd", "dr"), _here),
    "archive etcd member down": _during(partial(_killed, "etcd", "archive"), _here),
    "archive store down": _during(partial(_killed, "storage", "archive"), _here),
    "DR store frozen": _during(partial(_frozen, "storage", "dr"), _here),
    "two triggers and break-glass": _two_triggers,
}
