"""Bringing a standby the archived WAL that it lacks, and having it read that. No Prefect here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tasks.clients import archive_ahead, standby
from tasks.clients.archive_ahead import Ahead
from tasks.clients.objects import Bucket, Entry
from tasks.clients.parallel import answered, ask_all
from tasks.clients.standby import Standby
from tasks.clients.walnames import Switch, history_name
from tasks.copying import Rules, pull_wal_files
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan
from tasks.policy.replay import Way, later_timelines, waves, way_ahead

T = TypeVar("T")


def find_way(plan: Plan, stands: Standby, archives: Mapping[str, Ahead], within: float) -> Way:
    """The archived WAL that goes on from where a standby stands; newer timelines by what their history tells.

    Raises:
        Transient: a store that has such a history does not answer any more.
        Permanent: a history cannot be read.
    """
    histories: dict[int, tuple[Switch, ...]] = {}
    for timeline in later_timelines(stands, archives):
        name = history_name(timeline)
        site = next((site for site, each in archives.items() if name in each.files), None)
        if site is not None:
            read = partial(_read_history, plan, site, archives[site].files[name])
            histories[timeline] = _in_time(read, within)
    return way_ahead(stands, archives, histories)


@dataclass
class Replaying:
    """One standby, and the archives that have what it lacks.

    Attributes:
        plan: the plan.
        site: the standby's; its own archive is the only one that it reads.
        address: the standby's.
        stands: where it stands.
        archives: of the sites that answered.
        deadline: when the time is over, as time.monotonic() counts.
        sources: the sites that gave segments.
        copied: how many they gave.
    """

    plan: Plan
    site: str
    address: str
    stands: Standby
    archives: Mapping[str, Ahead]
    deadline: float
    sources: list[str] = field(default_factory=list)
    copied: int = 0

    def go(self, way: Way) -> None:
        """Copy and read, wave by wave, to the end of what there is.

        Raises:
            Transient: the time is over, or a server does not answer.
            Permanent: something cannot be copied.
        """
        size = self.stands.segment_bytes
        self._bring([history_name(timeline) for timeline in way.timelines])
        for wave in waves(way):
            self.copied += self._bring([segment.name(size) for segment in wave])
            if not standby.read_archive(self.plan, self.address, wave[-1], size, self._left_s):
                raise Transient(f"{self.plan.recovery.replay_within.total_seconds():g} s were over")

    @property
    def _left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def _bring(self, names: Sequence[str]) -> int:
        """Copy what the own archive lacks, each file from the first site that gives it; returns how many."""
        wanted = [name for name in names if name not in self._own.files]
        count = len(wanted)
        failures: list[str] = []
        for site, archive in self.archives.items():
            entries = [archive.files[name] for name in wanted if name in archive.files]
            if site == self.site or not entries:
                continue
            try:
                _in_time(partial(self._pull, site, entries), self._left_s)
            except DrError as error:
                failures.append(f"{site}: {error.message}")
                continue
            wanted = [name for name in wanted if name not in archive.files]
            self.sources += [] if site in self.sources else [site]
        if wanted:
            raise Transient(f"{wanted[0]} cannot be copied", "; ".join(failures))
        return count

    @property
    def _own(self) -> Ahead:
        if self.site not in self.archives:
            raise Transient(f"the WAL archive of {self.site} does not answer")
        return self.archives[self.site]

    def _pull(self, site: str, entries: Sequence[Entry]) -> None:
        source, target = Bucket.readable(self.plan, site), Bucket.owned(self.plan, self.site)
        rules = Rules(self.plan.secret("repository_cipher"))
        done = pull_wal_files(source, target, self.plan.postgresql_ha.cluster_name, rules, entries)
        if done.conflicts:
            raise Permanent(f"the WAL of {site} is not that of {self.site}", ", ".join(done.conflicts))


def _read_history(plan: Plan, site: str, entry: Entry) -> tuple[Switch, ...]:
    stanza, cipher = plan.postgresql_ha.cluster_name, plan.secret("repository_cipher")
    return archive_ahead.read_history(Bucket.readable(plan, site), stanza, entry, cipher)


def _in_time(act: Callable[[], T], within: float) -> T:
    """What a call gives; one that takes longer is left behind, and ends with its own timeouts.

    Raises:
        DrError: what it raised, or that it took longer.
    """
    return answered(ask_all({"": act}, within)[""])
