"""`make faults-drills`: HEALTHY (50) drills must pass, then each kind is killed at COUNT (10) random moments.

The healthy ones are of the kinds that ask nobody, in turn. After each kill production must be as before: no
acknowledged order is missing, its WAL only grew, every standby streams, users are served; a service that was
being moved is first brought home as the killed drill's report says. At the end of each kind the sweeper must
leave nothing of a drill: no process, directory, object or key. `KIND` takes some, `SEED` repeats a run.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import yaml
from campaign import COUNT, Campaign, Ended, asked, campaign, kill, tell
from recovery_cases import Case
from recovery_ground import Ground

from infra.lab.home import write_whole
from infra.lab.traffic import add_rows
from tasks.clients import drill_ground, patroni, postgres
from tasks.clients.layout import Layout
from tasks.clients.listeners import listening
from tasks.clients.objects import Bucket
from tasks.clients.truth import etcd_of, read_truth
from tasks.clients.walnames import parse_lsn
from tasks.drill_evidence import FOLDER, read_drill_reports
from tasks.policy.exposure import scanned_ports

HEALTHY = int(os.environ.get("HEALTHY", "50"))
_ALLOWED = ("approved_by={commander}", "risk=a fresh lab has no old backups")
KINDS: dict[str, tuple[str, ...]] = {
    "drill-backup-restoration": (),
    "drill-failover-testing": (),
    "drill-full-failover": _ALLOWED,
    "drill-full-dr-exercise": _ALLOWED,
}
_ASKS_PEOPLE = "drill-full-dr-exercise"
_BACKUPS = ("database", "files", "redis", "configuration", "secrets")
# Until nobody takes a drill for one that lives, or is about to.
_DEAD_S = 200
_SOON_S = 60
_NOBODY = "127.99.99.99"


class Drills:
    """One lab, its drills, and what production must look like after each."""

    def __init__(self, lab: Campaign) -> None:
        self.lab, self.plan = lab, lab.plan
        self.ground = Ground(lab)
        self.took = dict[str, float]()

    def start(self, kind: str) -> "subprocess.Popen[str]":
        """Begin a drill of a kind."""
        commander = self.plan.declaration.commanders[0]
        words = [word for each in KINDS[kind] for word in ("--param", each.format(commander=commander))]
        return self.lab.start("run", kind, *words)

    def held(self, kind: str) -> Ended:
        """A drill to its end."""
        ended = self.lab.wait(self.start(kind))
        self.took[kind] = ended.seconds
        return ended

    def healthy(self) -> Iterator[str]:
        """One drill after the other; those that did not pass."""
        kinds = [kind for kind in KINDS if kind != _ASKS_PEOPLE and asked("KIND", kind)]
        for number in range(HEALTHY if kinds else 0):
            kind = kinds[number % len(kinds)]
            ended = self.held(kind)
            report = read_drill_reports(self.plan)[-1]
            tell(f"healthy {number + 1}: {kind} {report.verdict} in {ended.seconds:.1f} s")
            if ended.code or report.verdict != "passed":
                yield f"healthy {kind}: {ended.told[-1500:]}"

    def killed(self, kind: str) -> Iterator[str]:
        """A drill of a kind, killed again and again; what is wrong afterwards."""
        if kind not in self.took:
            self.held(kind)
        for number in range(COUNT):
            before, lacking = self._position(), self.ground.missing(self.ground.home)
            moment = self.lab.chance.uniform(0.5, self.took[kind])
            process = self.start(kind)
            time.sleep(moment)
            fate = "killed" if process.poll() is None else "had ended"
            kill(process, everything=number % 2 == 0)
            process.communicate()
            home = self._home_again()
            wrong = self._wrong(before, lacking)
            tell(f"{kind} {number + 1}: {fate} at {moment:.1f} s, {home}: {wrong or 'as before'}")
            if wrong:
                yield f"{kind} killed at {moment:.1f} s: {wrong}"
        yield from self._swept(kind)

    def _home_again(self) -> str:
        """Finish the move that was under way, and bring the service home."""
        truth, _ = read_truth(self.plan)
        if truth.done and truth.active == self.ground.home:
            return "at home"
        if not truth.done:
            self.ground.resumed(truth.incident)
        self.ground.ready(Case("switchover", "moment"))
        return f"brought home from {truth.active}"

    def _position(self) -> postgres.Position:
        leader = patroni.leader(self.plan, self.ground.home)
        return postgres.position(self.plan, leader.host)

    def _wrong(self, before: postgres.Position, lacking: set[str]) -> str:
        """What of production is not as it was."""
        told = [self.ground.wrong(self.ground.home)]
        if missing := self.ground.missing(self.ground.home) - lacking:
            told.append(f"{len(missing)} orders are missing")
        if parse_lsn(self._position().lsn) < parse_lsn(before.lsn):
            told.append(f"the primary stood at {before.lsn}")
        told += [f"{site} does not stream" for site in self._sites() if not self._streams(site)]
        return "; ".join(each for each in told if each)

    def _streams(self, site: str) -> bool:
        """Whether its standbys do, before long: a demoted node needs a moment."""
        deadline = time.monotonic() + _SOON_S
        while not self.ground.streams(site):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def _sites(self) -> list[str]:
        return [site for site, each in self.plan.sites.items() if each.running("postgres")]

    def _swept(self, kind: str) -> Iterator[str]:
        """Sweep once no drill can be taken for a living one; what is left."""
        time.sleep(_DEAD_S)
        told = self.lab.wait(self.lab.start("run", "sweep-drills")).told
        again = self.lab.wait(self.lab.start("run", "sweep-drills"))
        left = self.left()
        silent = self._without_report()
        tell(f"{kind}: swept, {len(left)} things left, {len(silent)} without a report")
        if left or silent or again.code:
            yield f"{kind}: left {left}, no report of {silent}: {told[-1500:]}{again.told[-1500:]}"

    def _without_report(self) -> set[str]:
        known = {each.drill.id for each in read_drill_reports(self.plan)}
        bucket = Bucket.owned(self.plan, self.ground.away)
        return {entry.key.split("/")[1] for entry in bucket.list(f"{FOLDER}/")} - known

    def left(self) -> list[str]:
        """Whatever bears a drill's name, but its records."""
        return [*self._directories(), *self._processes(), *self._objects(), *self._keys()]

    def _directories(self) -> Iterator[str]:
        for site in self._sites():
            for host in self.plan.sites[site].running("postgres"):
                folder = Layout.of(self.plan, site, host).data_dir.parent
                yield from map(str, folder.glob(f"{drill_ground.PREFIX}*"))

    def _processes(self) -> Iterator[str]:
        root = str(self.lab.home.directory)
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                marked = drill_ground.MARK in process.environ()
            except psutil.Error:
                continue
            if marked or (drill_ground.PREFIX in words and root in words):
                yield f"process {process.pid}: {words[:200]}"

    def _objects(self) -> Iterator[str]:
        for site in self.plan.sites:
            for entry in Bucket.owned(self.plan, site).list(""):
                if f"/{drill_ground.PREFIX}" in f"/{entry.key}" and not entry.key.startswith(f"{FOLDER}/"):
                    yield f"{site}: {entry.key}"

    def _keys(self) -> Iterator[str]:
        for key in etcd_of(self.plan).below("/"):
            if drill_ground.PREFIX in key:
                yield f"etcd: {key}"


def prepare(lab: Campaign) -> None:
    """Points of every kind everywhere, users, and a plan that stays for a moment and asks for seconds."""
    plan = lab.plan
    document = yaml.safe_load(lab.home.plan_file.read_text())
    document["drills"] |= {"stay": "2 seconds"}
    document["drills"]["exercise"] |= {"answer_within": "2 seconds", "notice_within": "4 seconds"}
    known = {*plan.validation.security.administration, *listening(_NOBODY, scanned_ports(plan))}
    document["validation"]["security"]["administration"] = sorted(known)
    write_whole(lab.home.plan_file, yaml.safe_dump(document, sort_keys=False))
    add_rows(plan, plan.site_of("primary"), 50_000)
    for name in _BACKUPS:
        lab.dr("run", f"backup-{name}")
    lab.dr("run", "replicate-backups")
    lab.dr("lab", "load", "--rate", "20")


def main() -> None:
    """The healthy ones, then the kills."""
    with campaign() as lab:
        prepare(lab)
        drills = Drills(lab)
        failures = list(drills.healthy())
        for kind in KINDS:
            if COUNT and asked("KIND", kind):
                failures += drills.killed(kind)
    tell(f"{HEALTHY} healthy drills, {COUNT} kills of each kind, {len(failures)} failures")
    sys.exit("\n".join(failures) if failures else 0)


if __name__ == "__main__":
    main()
