"""Each site's object store stopped, read-only or full in the middle of each backup flow.

The flow fails clearly or finishes after the store has returned; the next run heals it; in the end every
repository is verified. `FLOW=NAME`, `SITE=NAME` and `FAULT=NAME` take some of the cases.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign import FLOWS, Campaign, campaign, tell

from infra.lab.processes import own

_OUTAGE_S = 15
_DISK = "1500m"


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
        for name in ("replicate-backups", "verify-backups"):
            ended = lab.flow(name)
            failures += [] if ended.code == 0 else [f"{name} afterwards: {ended.told[-1500:]}"]
    tell(f"{len(failures)} failures")
    sys.exit("\n".join(failures) if failures else 0)


def cases(lab: Campaign) -> Iterator[Case]:
    """All of them, narrowed by the environment."""
    for flow in FLOWS:
        for site in lab.plan.sites:
            for fault in FAULTS:
                case = Case(flow, site, fault)
                asked = {"FLOW": flow, "SITE": site, "FAULT": fault}
                if all(os.environ.get(name, value) == value for name, value in asked.items()):
                    yield case


def suffer(lab: Campaign, case: Case, seconds: float) -> list[str]:
    """One case; what was not as it must be."""
    process = lab.start_flow(case.flow)
    time.sleep(lab.chance.uniform(0.1, 0.9) * seconds)
    heal = FAULTS[case.fault](lab, case.site)
    deadline = time.monotonic() + _OUTAGE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    heal()
    ended = lab.wait(process, 300)
    again = lab.flow(case.flow)
    if again.code and case.flow in {"check-wal-archiving", "verify-backups"}:
        # What looks at the copies is red until they are whole again.
        lab.must("replicate-backups")
        again = lab.flow(case.flow)
    tell(f"{case}: {ended.code} in {ended.seconds:.0f} s, again: {again.code}")
    failures = [] if ended.clear else [f"{case}: unclear: {ended.told[-1500:]}"]
    return failures + ([] if again.code == 0 else [f"{case}: the next run: {again.told[-1500:]}"])


def stopped(lab: Campaign, site: str) -> Callable[[], None]:
    """SIGKILL to the store."""
    _end(lab, site)
    return lambda: _up(lab)


def read_only(lab: Campaign, site: str) -> Callable[[], None]:
    """Its identities lose every right but reading."""
    identities = lab.store_root(site) / "identities.json"
    before = identities.read_text()
    known = json.loads(before)
    bucket = lab.plan.sites[site].storage.bucket
    for identity in known["identities"]:
        identity["actions"] = [f"Read:{bucket}", f"List:{bucket}"]
    _end(lab, site)
    _start_with(lab, site, json.dumps(known))

    def heal() -> None:
        _end(lab, site)
        _up(lab)

    return heal


def full(lab: Campaign, site: str) -> Callable[[], None]:
    """Its disk is filled to the last byte."""
    ballast = lab.store_root(site) / "data" / "ballast"
    free = shutil.disk_usage(ballast.parent).free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - 4096))

    def heal() -> None:
        ballast.unlink()
        _end(lab, site)
        _up(lab)

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
            aside = data.with_name("data.aside")
            data.rename(aside)
            data.mkdir()
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", data], timeout=10, check=True
            )
            mounted.append(data)
            own(data)
            subprocess.run(["cp", "-a", f"{aside}/.", data], timeout=60, check=True)
            shutil.rmtree(aside)
        _up(lab)
        yield
    finally:
        for data in mounted:
            _end(lab, data.parts[-3])
            subprocess.run(["umount", "-l", data], timeout=10, check=True)


def _start_with(lab: Campaign, site: str, identities: str) -> None:
    """Start the store with other identities: `dr lab up` would write its own."""
    from infra.lab.processes import start  # noqa: PLC0415 - only this fault needs it
    from infra.lab.provision import listening  # noqa: PLC0415
    from infra.lab.servers import servers  # noqa: PLC0415

    path: Path = lab.store_root(site) / "identities.json"
    path.write_text(identities)
    own(path)
    [server] = servers(lab.home, lab.plan, site, "storage")
    start(lab.home.directory, server)
    listening([server])


def _end(lab: Campaign, site: str) -> None:
    process = lab.store(site)
    process.kill()
    process.wait(10)


def _up(lab: Campaign) -> None:
    lab.dr("lab", "up")


if __name__ == "__main__":
    main()
