"""Look at the active site from another one, and tell the other vantages. No Prefect here: it must not matter.

A question that is not answered in time is unknown; one that is answered wrongly is bad.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.clients import patroni, postgres, redis_site, service
from tasks.clients.etcd import Entry
from tasks.clients.objects import Bucket
from tasks.clients.parallel import ask_all
from tasks.clients.reach import ports_of, require_answer
from tasks.clients.truth import etcd_of
from tasks.clients.walnames import SEGMENT_SIZE, parse_lsn
from tasks.clients.watch_board import read_board, record_key, suspicion_key
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.watch import HostSeen, Lease, Look, Moment, Probe, Record, Rule, Suspicion, Told
from tasks.plan.plan import Plan
from tasks.policy.arrival import Track, Writing
from tasks.policy.watch import DATABASE, ETCD, GATEWAY, LAG, PUBLIC, REDIS, STORAGE

_REQUEST_S = 0.6
_EXCHANGE_S = 1.3
Question = Callable[[], None]
M = TypeVar("M", bound=BaseModel)


def vantages_of(plan: Plan) -> tuple[str, ...]:
    """The sites that others are looked at from."""
    return tuple(name for name, site in plan.sites.items() if site.running("watch"))


def last_told(plan: Plan) -> dict[str, datetime | None]:
    """When each vantage last told the others what it saw; None of one that has not.

    Raises:
        Transient: etcd has no quorum.
    """
    vantages = vantages_of(plan)
    entries = etcd_of(plan).get_all([record_key(plan, each) for each in vantages])
    records = [_parsed(Record, entry) for entry in entries]
    return {vantage: it.at if it else None for vantage, it in zip(vantages, records, strict=True)}


class Prober:
    """Asks everything of a look at once; each question has the plan's timeout."""

    def __init__(self, plan: Plan, vantage: str, rule: Rule) -> None:
        self._plan, self._vantage, self._rule = plan, vantage, rule
        self._track = Track()

    def look(self, site: str, now: Moment) -> Look:
        """Look at a site; takes `timeout` seconds at most.

        Args:
            site: the site to look at, and to compare the other ones with.
            now: the vantage's clocks.
        """
        hosts = list(self._hosts())
        reach: dict[tuple[str, str], Question] = {
            ("host", name): partial(require_answer, self._plan, where, name, self._rule.timeout)
            for where, name, _ in hosts
        }
        asked: dict[tuple[str, str], Question] = {("", k): q for k, q in self._questions(site).items()}
        answers = ask_all(reach | asked, self._rule.timeout)
        return Look(
            vantage=self._vantage,
            site=site,
            at_s=now.s,
            at=now.day,
            hosts=tuple(
                HostSeen(where, name, zone, answers["host", name] is None) for where, name, zone in hosts
            ),
            checks=tuple(_probe(what, answers["", what]) for _, what in asked),
        )

    def _hosts(self) -> list[tuple[str, str, str]]:
        """Every host that listens, but the vantage's own: it proves nothing to see oneself."""
        return [
            (name, host, it.zone)
            for name, site in self._plan.sites.items()
            for host, it in site.hosts.items()
            if ports_of(self._plan, name, host) and not (name == self._vantage and "watch" in it.runs)
        ]

    def _questions(self, site: str) -> Mapping[str, Question]:
        plan, path = self._plan, self._plan.high_availability.failover.quickest.endpoint
        gateway = plan.sites[site].gateway
        further = {
            f"service {name}": partial(_require_service, gateway, service.public_health)
            for name, service in plan.services.items()
        }
        return {
            GATEWAY: partial(_require_service, gateway, path),
            PUBLIC: partial(_require_service, plan.service.endpoint.url, path),
            **further,
            DATABASE: partial(_require_primary, plan, site),
            REDIS: partial(_require_redis, plan, site),
            LAG: partial(_require_following, plan, site, self._track),
            ETCD: partial(_require_members, plan, self._vantage),
            STORAGE: partial(_require_store, plan, site, self._rule.timeout),
        }


def _probe(what: str, answer: DrError | None) -> Probe:
    if answer is None:
        return Probe(what, "good")
    why = f"{answer.message} ({answer.detail[:200]})" if answer.detail else answer.message
    return Probe(what, "silent" if isinstance(answer, Transient) else "bad", why)


def _require_service(url: str, path: str) -> None:
    if not service.healthy(url, path):
        raise Permanent(f"{url} does not call itself healthy")


def _require_primary(plan: Plan, site: str) -> None:
    node = patroni.leader(plan, site)
    if postgres.position(plan, node.host, timeout=2).in_recovery:
        raise Permanent(f"{node.name} leads {site}, and takes no writes")


def _require_redis(plan: Plan, site: str) -> None:
    redis_site.require_serving(plan, site)


def _require_following(plan: Plan, site: str, track: Track) -> None:
    """The other sites' databases stream sooner than archived WAL would arrive."""
    primary = postgres.position(plan, patroni.leader(plan, site).host, timeout=2)
    track.saw(Writing(primary.at, parse_lsn(primary.lsn), primary.timeline, SEGMENT_SIZE))
    allowed = plan.recovery.archive_timeout + plan.recovery.pull_interval
    for other in plan.sites:
        if other != site and plan.sites[other].running("postgres"):
            standby = postgres.position(plan, patroni.leader(plan, other).host, timeout=2)
            late = track.behind(parse_lsn(standby.lsn), standby.last_commit)
            if late is not None and late > allowed:  # not known at the first look only
                raise Permanent(f"{other} is {_seconds(late)} behind", f"allowed: {_seconds(allowed)}")


def _require_members(plan: Plan, vantage: str) -> None:
    members = [address for site in plan.sites.values() for address in site.addresses("etcd")]
    healthy = etcd_of(plan, vantage, 1.0).healthy_members()
    if not healthy:
        raise Transient("no member of etcd answers")
    if len(healthy) < len(members):
        raise Permanent(f"{len(healthy)} of {len(members)} members of etcd are healthy")


def _require_store(plan: Plan, site: str, timeout: float) -> None:
    Bucket.readable(plan, site, timeout).children("")


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"


class Exchange:
    """The vantages' records, as one of them reads and writes them; each call is over within 1.3 s."""

    def __init__(self, plan: Plan, vantage: str, rule: Rule) -> None:
        self._plan, self._vantage, self._rule = plan, vantage, rule
        self._vantages = vantages_of(plan)
        self._etcd = etcd_of(plan, vantage, _REQUEST_S)

    def read(self, site: str) -> Told:
        """What etcd knows of a site and of the vantages; nothing where it has no quorum."""
        answer = ask_all(
            {"board": partial(read_board, self._plan, self._etcd, site, self._vantages)}, _EXCHANGE_S
        )["board"]
        if isinstance(answer, DrError):
            return Told()
        records = {name: (_parsed(Record, it), it.revision) for name, it in answer.records.items()}
        return Told(
            active=answer.truth.active,
            epoch=answer.truth.epoch,
            incident="" if answer.truth.done else answer.truth.incident,
            lease=lease_state(answer.held, answer.unrenewed_s, self._rule),
            records={name: (found, at) for name, (found, at) in records.items() if found},
            suspicion=_parsed(Suspicion, answer.suspicion),
            suspicion_revision=answer.suspicion.revision,
        )

    def write(self, record: Record) -> None:
        """Tell the others.

        Raises:
            Transient: etcd has no quorum.
        """
        self._do(partial(self._etcd.put, record_key(self._plan, self._vantage), record.model_dump_json()))

    def suspect(self, suspicion: Suspicion, revision: int) -> None:
        """Write down a loss that is agreed on, unless another vantage was first.

        Raises:
            Transient: etcd has no quorum.
        """
        key = suspicion_key(self._plan)
        self._do(partial(self._etcd.swap, key, suspicion.model_dump_json(), revision))

    def clear(self, revision: int) -> None:
        """Remove a suspicion that has ended, unless it is another one by now.

        Raises:
            Transient: etcd has no quorum.
        """
        self._do(partial(self._etcd.remove, suspicion_key(self._plan), revision))

    def _do(self, act: Callable[[], object]) -> None:
        answer = ask_all({"act": act}, _EXCHANGE_S)["act"]
        if isinstance(answer, DrError):
            raise answer


def lease_state(held: bool, unrenewed_s: int | None, rule: Rule) -> Lease:
    """Whether whoever holds a site's leader key renews it."""
    if not held or unrenewed_s is None:
        return "ended"
    return "renewed" if unrenewed_s <= rule.renewal else "ended"


def _parsed(kind: type[M], entry: Entry) -> M | None:
    if entry.value is None:
        return None
    try:
        return kind.model_validate_json(entry.value)
    except ValidationError:
        return None  # of another version of us
