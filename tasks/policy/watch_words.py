"""What a vantage tells: its record, what a person should know, and what is new in it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from tasks.facts.watch import Finding, Look, Peers, Record, Rule, Sights, Standing, Told
from tasks.policy.watch import GATEWAY, PUBLIC, dead_zones
from tasks.policy.watch_agreement import is_dead, voices

VERDICT = "naas-dr.site.verdict"
SUSPECTED = "naas-dr.site.suspected"
CLEARED = "naas-dr.site.cleared"
DECLARED = "naas-dr.site.declared"
FOUND = "naas-dr.watch.found"
SETTLED = "naas-dr.watch.settled"

_SUSPICION, _DECLARATION = "suspicion", "declaration"
_EVENTS = {_SUSPICION: (SUSPECTED, CLEARED), _DECLARATION: (DECLARED, SETTLED)}
_HAND = "look, and declare it by hand"


@dataclass(frozen=True, slots=True)
class News:
    """Something that was not so before: an event's name, and what it tells."""

    event: str
    name: str
    detail: str


def evidence(look: Look, told: Told) -> Mapping[str, str]:
    """What was not good, and the state of the leader key."""
    silent = {f"host {host.host}": "silent" for host in look.hosts if not host.answers}
    wrong = {probe.what: f"{probe.outcome}: {probe.why}" for probe in look.checks if probe.outcome != "good"}
    return {**wrong, **silent, "leader key": told.lease}


def record_of(
    vantage: str, sights: Sights, standing: Standing, told: Told, found: tuple[Finding, ...]
) -> Record | None:
    """The record to write; None before the first look.

    Args:
        vantage: whose it is.
        sights: its last looks.
        standing: its verdict.
        told: what etcd told.
        found: what a person should know.
    """
    if sights.newest is None or standing.since is None:
        return None
    return Record(
        vantage=vantage,
        site=sights.site,
        at=sights.newest.at,
        level=sights.recent[-1].level,
        verdict=standing.verdict,
        since=standing.since,
        evidence=evidence(sights.newest, told),
        findings=found,
    )


def findings(  # noqa: PLR0913 -- all that is told of
    sights: Sights, standing: Standing, told: Told, peers: Peers, rule: Rule, now_s: float
) -> Iterator[Finding]:
    """What a person should know, beside the verdict."""
    if now_s - peers.read_s > rule.interval:
        detail = "etcd has no quorum: what the others see is not known, and nothing is declared by itself"
        yield Finding(name="etcd", detail=detail)
    for vantage, peer in peers.known.items():
        if now_s - peers.read_s <= rule.interval and is_dead(peer, rule, now_s):
            detail = f"its record was not renewed for {rule.patience:.0f} s: it is dead, or cut off"
            yield Finding(name=f"vantage {vantage}", detail=detail)
    if sights.newest and standing.verdict in {"degraded", "zone_failure"}:
        yield from _seen(sights.newest, standing, rule, now_s)
    if standing.verdict == "site_failure":
        yield from _lost(standing, told, peers, rule, now_s)


def _seen(look: Look, standing: Standing, rule: Rule, now_s: float) -> Iterator[Finding]:
    bad = {probe.what for probe in look.checks if probe.outcome != "good"}
    if {GATEWAY, PUBLIC} <= bad:
        yield Finding(name="service", detail=f"{look.site} is there, and users are not served; {_HAND}")
    if standing.verdict != "zone_failure":
        return
    zones = ", ".join(dead_zones(look)) or "a zone"
    since_s = now_s - standing.since_s
    if standing.absorbed_s is not None:
        detail = f"{zones} is down; the service went on {standing.absorbed_s:.0f} s after that was certain"
        yield Finding(name="zone absorbed", detail=detail)
    elif since_s > rule.absorb:
        detail = f"{zones} is down, and the service did not go on within {rule.absorb:.0f} s; {_HAND}"
        yield Finding(name="zone not absorbed", detail=detail)
    else:
        yield Finding(name="zone", detail=f"{zones} is down: Patroni and Sentinel have {rule.absorb:.0f} s")


def _lost(standing: Standing, told: Told, peers: Peers, rule: Rule, now_s: float) -> Iterator[Finding]:
    if standing.agreement:
        left = f"declared after {rule.confirm:.0f} s of it" if rule.automatic else "declared by hand only"
        detail = f"every vantage with eyes has lost {standing.site}; it is {left}"
        yield Finding(name=_SUSPICION, detail=detail)
    elif told.quorum and not voices(peers, rule, now_s):
        detail = f"{standing.site} is lost, no other vantage has eyes: nothing is declared by itself; {_HAND}"
        yield Finding(name="alone", detail=detail)


def news(before: Record | None, after: Record) -> Iterator[News]:
    """What changed from one record of a vantage to the next: events, in order."""
    if before is None or (before.site, before.verdict) != (after.site, after.verdict):
        was = f", was {before.verdict}" if before else ""
        yield News(VERDICT, after.verdict, f"{after.site} is {after.verdict}{was}")
    old = {each.name: each for each in before.findings} if before else {}
    new = {each.name: each for each in after.findings}
    for name, each in new.items():
        if name not in old:
            yield News(_EVENTS.get(name, (FOUND, SETTLED))[0], name, each.detail)
    for name, each in old.items():
        if name not in new:
            yield News(_EVENTS.get(name, (FOUND, SETTLED))[1], name, each.detail)


def declared(run: str) -> Finding:
    """What a person should know of a declaration that was made."""
    return Finding(name=_DECLARATION, detail=f"declared by itself: the response runs as {run}")


def unheard(since: datetime, why: str) -> Finding:
    """What a person should know of a Prefect that cannot be told."""
    detail = f"not told since {since:%Y-%m-%d %H:%M:%S} UTC: {why}; told as soon as it answers"
    return Finding(name="Prefect", detail=detail)
