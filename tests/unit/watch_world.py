"""A world of virtual time: sites, the links between them, etcd, and faults of all of these."""

import heapq
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.reach import ports_of
from tasks.facts.watch import HostSeen
from tasks.plan.load import load_plan
from tasks.policy.watch import rule_of

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
RULE = rule_of(PLAN)
PRIMARY, DR, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
SITES, WORLD = (PRIMARY, DR, ARCHIVE), "world"
HOSTS = [
    (site, host, it.zone)
    for site, each in PLAN.sites.items()
    for host, it in each.hosts.items()
    if ports_of(PLAN, site, host)
]
_ELECTION_S = 2.0
_FOR_EVER = float("inf")


@dataclass(frozen=True, order=True)
class Fault:
    """One fault from `start` to `end`, in seconds of virtual time.

    `kind`: "cut" between two places ("a b"), "dead" (a whole site), "host", "vantage" (its process), "slow"
    (what a vantage asks is answered too late, or not), "etcd" (no quorum: an election).
    """

    start: float
    end: float
    kind: str
    target: str


def loss(at):
    """The primary site is gone."""
    return Fault(at, _FOR_EVER, "dead", PRIMARY)


def isolation(start, end):
    """The primary site runs, and every line to it is cut."""
    return [Fault(start, end, "cut", f"{PRIMARY} {place}") for place in (DR, ARCHIVE, WORLD)]


class World:
    """What is so at a moment; time only goes forward."""

    def __init__(self, faults):
        self._coming = sorted(faults, reverse=True)
        self._ends, self._now = [], Counter()
        self._renewing, self._since = True, 0.0
        self._known = {}

    def go(self, until):
        """Let everything happen that happens until a moment."""
        while self._next() <= until:
            at = self._next()
            if self._coming and self._coming[-1].start == at:
                fault = self._coming.pop()
                self._now[fault.kind, fault.target] += 1
                heapq.heappush(self._ends, (fault.end, fault.kind, fault.target))
            else:
                _, *what = heapq.heappop(self._ends)
                self._now[tuple(what)] -= 1
            self._known = {}
            renewing = self._renews()
            if renewing != self._renewing:
                self._renewing, self._since = renewing, at

    def _next(self):
        starts = self._coming[-1].start if self._coming else _FOR_EVER
        return min(starts, self._ends[0][0] if self._ends else _FOR_EVER)

    def has(self, kind, target):
        return self._now[kind, target] > 0

    def reaches(self, a, b):
        return a == b or not (self.has("cut", f"{a} {b}") or self.has("cut", f"{b} {a}"))

    def host_answers(self, site, host):
        return not self.has("dead", site) and not self.has("host", host)

    def known(self, what, *about):
        """What was asked before, as long as nothing happens."""
        if (what, *about) not in self._known:
            self._known[what, *about] = getattr(self, what)(*about)
        return self._known[what, *about]

    def hosts(self, vantage):
        """The hosts that a vantage looks at, and whether they answer it."""
        return tuple(
            HostSeen(site, host, zone, self.reaches(vantage, site) and self.host_answers(site, host))
            for site, host, zone in HOSTS
            if not (site == vantage and host.startswith("control"))
        )

    def voting(self):
        """The sites whose members of etcd are in a majority; none during an election."""
        etcd = {site: next(iter(PLAN.sites[site].running("etcd"))) for site in SITES}
        up = [site for site in SITES if self.host_answers(site, etcd[site])]
        if self.has("etcd", "election"):
            return []
        return [site for site in up if any(other != site and self.reaches(site, other) for other in up)]

    def asks_etcd(self, vantage):
        return any(self.reaches(vantage, member) for member in self.known("voting"))

    def _renews(self):
        nodes = PLAN.sites[PRIMARY].running("postgres")
        alive = any(self.host_answers(PRIMARY, node) for node in nodes)
        return alive and any(self.reaches(PRIMARY, it) for it in self.voting())

    def unrenewed_s(self, at):
        """For how long the leader key was not renewed; a new leader of etcd renews it once."""
        return 0.0 if self._renewing else max(0.0, at - self._since - _ELECTION_S)

    def isolated_s(self, at):
        """For how long the site has in truth renewed nothing; 0 where a vantage reaches it."""
        reached = not self.has("dead", PRIMARY) and any(self.reaches(it, PRIMARY) for it in (DR, ARCHIVE))
        return 0.0 if reached or self._renewing else at - self._since

    def takes_orders(self, at):
        """Whether the primary's gateway answers as healthy."""
        needed = ("gateway-east", "postgres-primary")
        apps = PLAN.sites[PRIMARY].running("service")
        return (
            self.unrenewed_s(at) <= RULE.renewal
            and all(self.host_answers(PRIMARY, host) for host in needed)
            and any(self.host_answers(PRIMARY, host) for host in apps)
        )
