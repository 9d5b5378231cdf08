"""Two vantages in a world of virtual time: the real Watch, given other eyes, another etcd, post and clock."""

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from watch_world import ARCHIVE, DR, PRIMARY, RULE, SITES, WORLD, World

from deployments.vantage import Watch
from tasks.facts.watch import Look, Moment, Probe, Told
from tasks.policy.watch import DATABASE, ETCD, GATEWAY, LAG, PUBLIC, REDIS, STORAGE

VANTAGES = (DR, ARCHIVE)
DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Story:
    """What came of it: moments in seconds, and how many times the simpler policies would have declared."""

    suspected: list = field(default_factory=list)
    declared: dict = field(default_factory=dict)
    isolated_s: dict = field(default_factory=dict)
    told: list = field(default_factory=list)
    controls: Counter = field(default_factory=Counter)
    looks: int = 0


class Vantage:
    """A vantage's process with the real Watch inside, and everything that it has to do with."""

    def __init__(self, simulation, site, skew_s):
        self.simulation, self.site, self.skew_s = simulation, site, skew_s
        others = tuple(each for each in VANTAGES if each != site)
        self.watch = Watch(site, others, PRIMARY, RULE, None, self, self, self.clock)
        self.was, self.tick = Counter(), None

    def clock(self):
        at = self.simulation.at + self.skew_s
        return Moment(at, DAY + timedelta(seconds=at))

    # What `Board` is.
    def read(self, site):
        sim = self.simulation
        slow = sim.world.has("slow", self.site) and sim.random.random() < 0.5
        if slow or not sim.world.known("asks_etcd", self.site):
            return Told()
        lease = "renewed" if sim.world.unrenewed_s(sim.at) <= RULE.renewal else "ended"
        return Told(PRIMARY, 0, "", lease, dict(sim.records), *sim.suspicion)

    def write(self, record):
        sim = self.simulation
        if sim.world.known("asks_etcd", self.site):
            sim.records[self.site] = (record, next(sim.revisions))

    def suspect(self, suspicion, revision):
        if self.simulation.suspicion[1] == revision:
            self.simulation.suspicion = (suspicion, next(self.simulation.revisions))

    def clear(self, revision):
        if self.simulation.suspicion[1] == revision:
            self.simulation.suspicion = (None, 0)

    # What `Post` is.
    def tell(self, event):
        self.simulation.story.told.append((self.simulation.at, self.site, event.name, event.payload["name"]))

    def declare(self, due):
        sim = self.simulation
        if due and due.key not in sim.story.declared:
            sim.story.declared[due.key] = sim.at
            sim.story.isolated_s[due.key] = sim.world.isolated_s(sim.at)

    def run_of(self, key):
        return "a run" if key in self.simulation.story.declared else None

    def failing(self):
        return None

    def take(self, look):
        """The real thing, and beside it what simpler policies would make of the same look."""
        self.watch.take(look)
        recent = [each.level for each in self.watch.sights.recent]
        self._count("one look", recent[-1] == "lost")
        self._count("one vantage", recent == ["lost"] * RULE.retries)

    def judge(self):
        self.watch.judge()
        agreed = self.watch.standing.agreement is not None
        if agreed and not self.was["no confirmation"]:
            self.simulation.story.suspected.append(self.simulation.at)
        self._count("no confirmation", agreed)

    def _count(self, control, is_so):
        self.simulation.story.controls[control] += is_so and not self.was[control]
        self.was[control] = is_so


class Simulation:
    """Runs both vantages through a world, from 0 to `until` seconds."""

    def __init__(self, faults, seed=0, *, refuses=None, phases=None, exchange_s=0.3):
        self.random, self.refuses = random.Random(seed), refuses  # noqa: S311 -- repeatable, not secret
        self.world, self.at, self.exchange_s = World(faults), 0.0, exchange_s
        self.records, self.suspicion, self.revisions = {}, (None, 0), count(1)
        self.story = Story()
        self._heap, self._order, self._turn = [], count(), Counter()
        self.vantages = {}
        for site in VANTAGES:
            self._begin(site, phases[site] if phases else self.random.uniform(0, RULE.interval))

    def run(self, until):
        while self._heap[0][0] <= until:
            self.at, _, turn, site, act = heapq.heappop(self._heap)
            self.world.go(self.at)
            if turn == self._turn[site]:
                self._act(site, *act)
        return self.story

    def _act(self, site, what, given=None):
        vantage = self.vantages[site]
        if self.world.has("vantage", site):
            self._begin(site, self.at + 1)  # started again, with no memory, once it can be
        elif what == "look":
            look, takes_s = self._look(site)
            self._later(takes_s, site, "looked", look)
        elif what == "looked":
            vantage.take(given)
            self.story.looks += 1
            self._later(max(0.0, vantage.watch.next_look_s() - vantage.clock().s), site, "look")
            self._judge_after(self.random.uniform(0, self.exchange_s), site)
        elif given == vantage.tick:
            vantage.judge()
            self._judge_after(vantage.watch.wait_s(), site)

    def _judge_after(self, wait_s, site):
        """The next judgement; one that was to come later is not made."""
        self.vantages[site].tick = next(self._order)
        self._later(wait_s, site, "judge", self.vantages[site].tick)

    def _begin(self, site, at):
        self._turn[site] += 1
        self.vantages[site] = Vantage(self, site, self.random.uniform(-1000, 1000))
        self._later(at - self.at, site, "look")

    def _later(self, wait_s, site, *act):
        heapq.heappush(self._heap, (self.at + wait_s, next(self._order), self._turn[site], site, act))

    def _look(self, vantage):
        """What a vantage sees now, and how long that takes."""
        world, chance = self.world, self.random
        late = chance.choice((0.3, 0.7, 1.0)) if world.has("slow", vantage) else 0.0
        hosts = world.known("hosts", vantage)
        checks = tuple(Probe(what, outcome) for what, outcome in self._checks(vantage).items())
        if late:
            hosts = tuple(replace(it, answers=it.answers and chance.random() >= late) for it in hosts)
            checks = tuple(replace(it, outcome="silent") if chance.random() < late else it for it in checks)
        now = self.vantages[vantage].clock()
        look = Look(vantage, PRIMARY, now.s, now.day, hosts, checks)
        swift = self.refuses if self.refuses is not None else chance.random() < 0.5
        whole = all(host.answers for host in hosts) and not late
        return look, chance.uniform(0.05, 0.5) if whole or (swift and not late) else RULE.timeout

    def _checks(self, vantage):
        world, serving = self.world, self.world.takes_orders(self.at)
        reached = world.reaches(vantage, PRIMARY) and not world.has("dead", PRIMARY)
        public = "silent"
        if world.reaches(vantage, WORLD):
            public = "good" if serving and world.reaches(WORLD, PRIMARY) else "bad"
        here = ("good" if serving else "bad") if reached else "silent"
        other = "good" if reached else "silent"
        members = "good" if len(world.known("voting")) == len(SITES) else "bad"
        return {
            GATEWAY: here, PUBLIC: public, DATABASE: here, LAG: here,
            REDIS: other, STORAGE: other, ETCD: members,
        }  # fmt: skip
