"""Each site's object store stopped, read-only or full in the middle of each backup flow.

The flow fails clearly or finishes after the store has returned; the next run heals it; in the end every
repository is verified. `FLOW`, `SITE` and `FAULT` take some of the cases: names, separated by commas.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from campaign import FLOWS, Campaign, asked, campaign, tell
from disks import fill, give_disk, make_room, take_disk

from infra.lab.hosts import remove_sockets
from infra.lab.processes import start
from infra.lab.servers import servers
from infra.lab.starting import listening

_OUTAGE_S = 15
_SPARE_MB = 1500


@dataclass(frozen=True)
class Case:
    """One flow, one site's store, one fault."""

    flow: str
    site: str
    fault: str

    def __str__(self) -> str:
        return f"{self.flow}, store of {self.site} {self.fault}"


def main() -> None:
    """Every case, then the proof over all repositories."""
    with campaign() as lab, small_disks(lab):
        seconds = lab.protect()
        failures = [line for case in cases(lab) for line in suffer(lab, case, seconds[case.flow])]
        failures += lab.proof()
    tell(f"{len(failures)} failures")
    sys.exit("\n".join(failures) if failures else 0)


def cases(lab: Campaign) -> Iterator[Case]:
    """All of them, narrowed by the environment."""
    for flow in FLOWS:
        for site in lab.plan.sites:
            for fault in FAULTS:
                if asked("FLOW", flow) and asked("SITE", site) and asked("FAULT", fault):
                    yield Case(flow, site, fault)


def suffer(lab: Campaign, case: Case, seconds: float) -> list[str]:
    """One case; what was not as it must be."""
    process, moment, heal = struck(lab, case, seconds)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < _OUTAGE_S:
        time.sleep(0.2)
    during = "ended during it" if process.poll() is not None else "outlived it"
    heal()
    ended = lab.wait(process, 300)
    again = lab.flow(case.flow)
    if again.code and case.flow in {"check-wal-archiving", "verify-backups"}:
        # What looks at the copies is red until they are whole again.
        lab.must("replicate-backups")
        again = lab.flow(case.flow)
    tell(f"{case} at {moment:.1f} s: {during}, exit {ended.code}; again: {again.code}")
    failures = [] if ended.clear else [f"{case}: unclear: {ended.told[-1500:]}"]
    return failures + ([] if again.code == 0 else [f"{case}: the next run: {again.told[-1500:]}"])


def struck(
    lab: Campaign, case: Case, seconds: float
) -> tuple["subprocess.Popen[str]", float, Callable[[], None]]:
    """A run that the fault struck while it was at work, at which moment of it, and how to heal the store."""
    while True:
        moment = lab.chance.uniform(0.2, 0.9) * seconds
        process = lab.start_flow(case.flow)
        time.sleep(moment)
        if process.poll() is None:
            return process, moment, FAULTS[case.fault](lab, case.site)
        lab.wait(process)
        seconds *= 0.8


def stopped(lab: Campaign, site: str) -> Callable[[], None]:
    """SIGKILL to the store."""
    _end(lab, site)
    return lambda: _begin(lab, site)


def read_only(lab: Campaign, site: str) -> Callable[[], None]:
    """Its identities lose every right but reading."""
    identities = lab.store_root(site) / "identities.json"
    before = identities.read_text()
    known = json.loads(before)
    bucket = lab.plan.sites[site].storage.bucket
    for identity in known["identities"]:
        identity["actions"] = [f"Read:{bucket}", f"List:{bucket}"]

    def restart(text: str) -> None:
        _end(lab, site)
        identities.write_text(text)
        _begin(lab, site)

    restart(json.dumps(known))
    return lambda: restart(before)


def full(lab: Campaign, site: str) -> Callable[[], None]:
    """Its disk is filled to the last byte."""
    data = lab.store_root(site) / "data"
    fill(data)

    def heal() -> None:
        make_room(data)
        _end(lab, site)
        _begin(lab, site)

    return heal


FAULTS: dict[str, Callable[[Campaign, str], Callable[[], None]]] = {
    "stopped": stopped,
    "read-only": read_only,
    "full": full,
}


@contextmanager
def small_disks(lab: Campaign) -> Iterator[None]:
    """Give each store a disk of its own that can be filled."""
    mounted = []
    try:
        for site in lab.plan.sites:
            data = lab.store_root(site) / "data"
            _end(lab, site)
            give_disk(data, _SPARE_MB)
            mounted.append(data)
            _begin(lab, site)
        yield
    finally:
        for data in mounted:
            _end(lab, data.parts[-3])
            take_disk(data, keep=False)


def _begin(lab: Campaign, site: str) -> None:
    """Start the store; `dr lab up` would also look at everything else, which is at work."""
    [server] = servers(lab.home, lab.plan, site, "storage")
    remove_sockets(lab.plan.sites[site].storage.endpoint)
    start(lab.home.directory, server)
    listening([server])


def _end(lab: Campaign, site: str) -> None:
    process = lab.store(site)
    process.kill()
    process.wait(10)


if __name__ == "__main__":
    main()
