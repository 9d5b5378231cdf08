"""COUNT (50) single flipped bits in each kind of repository at each site: each is named.

Before the flips and after them nothing is. Then HEALTHY (100) looks at copies that nothing is wrong with,
while backups and replication run: no alarm. `KIND` and `SITE` take some of the flips: names,
separated by commas.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from campaign import Campaign, asked, campaign, tell

from infra.lab.processes import running
from tasks.clients import restic
from tasks.clients.objects import Bucket, Entry
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan
from tasks.verify import sealed_assets, verify_database
from tasks.verify_points import verify_points

COUNT = int(os.environ.get("COUNT", "50"))
HEALTHY = int(os.environ.get("HEALTHY", "100"))
_CHECK_S = 600
_ALL = Decimal(1)
# What does the work of a database while its copies are looked at.
_BUSY = ("backup-database incr", "backup-files", "backup-redis", "replicate-backups")


@dataclass(frozen=True)
class Kind:
    """One kind of repository.

    Attributes:
        roots: where it lies in a bucket.
        look: the names of what is damaged at a site, by the check that the product makes.
        names: whether a damage of this name is the one in the object of this key.
    """

    roots: tuple[str, ...]
    look: Callable[[Plan, str], Iterable[str]]
    names: Callable[[str, str], bool]


def main() -> None:
    """Every kind at every site."""
    with campaign() as lab:
        lab.protect()
        lab.must("replicate-backups")
        kinds = [name for name in KINDS if asked("KIND", name)]
        sites = [site for site in lab.plan.sites if asked("SITE", site)]
        with unmended(lab):
            failures = [line for site in sites for name in kinds for line in flips(lab, name, site)]
        failures += healthy(lab)
    tell(f"{len(failures)} failures")
    sys.exit("\n".join(failures) if failures else 0)


def flips(lab: Campaign, name: str, site: str) -> list[str]:
    """Flip a bit, look, and put the object back; half of the objects are chosen by size, half alike."""
    kind, bucket = KINDS[name], Bucket.owned(lab.plan, site)
    objects = [each for root in kind.roots for each in bucket.list(root) if _is_data(each)]
    if not objects:
        return [f"{name} at {site}: there is nothing"]
    failures = [f"{name} at {site}: {each} before any flip" for each in kind.look(lab.plan, site)]
    for number in range(COUNT):
        weights = [each.size for each in objects] if number % 2 else None
        [entry] = lab.chance.choices(objects, weights)
        whole, at, bit = bucket.get(entry.key), lab.chance.randrange(entry.size), lab.chance.randrange(8)
        _plant(bucket, entry.key, whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            found = _looked(kind, lab.plan, site)
        finally:
            _plant(bucket, entry.key, whole)
        if not any(kind.names(each, entry.key) for each in found):
            failures.append(f"{name} at {site}: bit {bit} of byte {at} of {entry.key}: {found}")
    failures += [f"{name} at {site}: {each} after the flips" for each in kind.look(lab.plan, site)]
    tell(f"{name} at {site}: {COUNT} flips in {len(objects)} objects, {len(failures)} failures")
    return failures


@contextmanager
def unmended(lab: Campaign) -> Iterator[None]:
    """Nothing pulls WAL meanwhile: a pull writes the info files of a copy anew where they differ."""
    loops = [process for key, process in running(lab.home.directory).items() if key.endswith("/loop-pull")]
    assert loops
    for process in loops:
        process.suspend()
    try:
        yield
    finally:
        for process in loops:
            process.resume()


def healthy(lab: Campaign) -> list[str]:
    """Look again and again while work goes on."""
    ended = threading.Event()
    worker = threading.Thread(target=work, args=(lab, ended))
    worker.start()
    failures, retried = [], 0
    try:
        for number in range(HEALTHY):
            site = list(lab.plan.sites)[number % len(lab.plan.sites)]
            for name, kind in KINDS.items():
                try:
                    failures += [f"{name} at {site}, healthy: {each}" for each in kind.look(lab.plan, site)]
                except Transient:
                    retried += 1  # it says that it could not look; the flow's task looks again
    finally:
        ended.set()
        worker.join()
    tell(f"{HEALTHY} looks at healthy copies, {retried} retried, {len(failures)} failures")
    return failures


def work(lab: Campaign, ended: threading.Event) -> None:
    """Backups and replication, one after the other, until told to end."""
    while not ended.is_set():
        for name in _BUSY:
            if not ended.is_set():
                lab.flow(name)
        time.sleep(1)


def _plant(bucket: Bucket, key: str, content: bytes) -> None:
    """Put an object and see it: a store with versions may take the older of two puts for the newest."""
    bucket.put(key, content)
    while bucket.get(key) != content:
        tell(f"{bucket.name} gives back an older {key}: put again")
        time.sleep(1)
        bucket.put(key, content)


def _looked(kind: Kind, plan: Plan, site: str) -> list[str]:
    """The damages found; an error that names the place counts as one."""
    try:
        return list(kind.look(plan, site))
    except DrError as error:
        return [str(error)]


def _database(plan: Plan, site: str) -> Iterable[str]:
    return [damage.name for found in verify_database.fn(plan, site) for damage in found.damages]


def _files(plan: Plan, site: str) -> Iterable[str]:
    return [key for key, _ in restic.check(plan, site, share=_ALL, timeout=_CHECK_S)]


def _points(kind: str) -> Callable[[Plan, str], Iterable[str]]:
    def look(plan: Plan, site: str) -> Iterable[str]:
        assets = [each for each in sealed_assets(plan) if each.partition("/")[0] == kind]
        found = verify_points.fn(plan, site, assets, _ALL)
        return [damage.name for each in found for damage in each.damages]

    return look


def _same(name: str, key: str) -> bool:
    return key in name


def _of_pgbackrest(name: str, key: str) -> bool:
    """A segment by its own name; a bundle, which is many files, by its backup; a record by its path."""
    folder, _, base = key.removeprefix("pgbackrest/").rpartition("/")
    if folder.endswith("/bundle"):
        return folder.split("/")[2] in name
    return base.partition(".zst")[0] in name


def _is_data(entry: Entry) -> bool:
    # The birth record and locks of restic are no data of anybody's.
    return entry.size > 0 and not entry.key.startswith(("restic/locks/", "restic/birth"))


KINDS = {
    "database": Kind(("pgbackrest",), _database, _of_pgbackrest),
    "files": Kind(("restic",), _files, _same),
    **{
        kind: Kind((f"points/{kind}",), _points(kind), _same)
        for kind in ("redis", "configuration", "secrets")
    },
}

if __name__ == "__main__":
    main()
