"""Whether the service could be recovered now: READY, AT RISK or NOT READY, with reasons. Pure.

Unknown is not ready. Source: AWS Well-Architected REL13-BP03, NIST SP 800-34 on plan maintenance.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from tasks.errors import DrError, Transient
from tasks.facts.archive import Finding, Severity
from tasks.facts.readiness import Check, Readiness, Sights
from tasks.plan.plan import Plan
from tasks.policy.readiness_duties import drills, routes, single_sites
from tasks.policy.readiness_hosts import clocks, room, versions
from tasks.policy.watch import rule_of

DRILLS = "drills"
Question = Callable[[Plan, Sights], Iterator[Finding]]


def judge_readiness(plan: Plan, seen: Sights) -> Readiness:
    """Answer every question from what was seen."""
    checks = tuple(Check(name=name, findings=tuple(ask(plan, seen))) for name, ask in QUESTIONS.items())
    return Readiness(service=plan.service.name, at=seen.at, checks=checks)


def nothing_seen(plan: Plan, at: datetime, error: DrError) -> Readiness:
    """Where not even the active site can be told."""
    check = Check(name="incident", findings=(_amiss("which site is active", error),))
    return Readiness(service=plan.service.name, at=at, checks=(check,))


def _amiss(what: str, error: DrError) -> Finding:
    """What was refused is wrong; what did not answer is unknown."""
    severity: Severity = "unknown" if isinstance(error, Transient) else "critical"
    return Finding(what, severity, error.seen, error.hint)


def _calm(plan: Plan, seen: Sights) -> Iterator[Finding]:
    what = f"{plan.service.name} is recovered"
    if seen.incident:
        yield Finding(what, "critical", f"{seen.incident} is open", f"`dr incident show {seen.incident}`")
    else:
        yield Finding(what, "ok", f"{seen.active} is active, and no incident is open")


def _lag(plan: Plan, seen: Sights) -> Iterator[Finding]:
    allowed = plan.tier.rpo.total_seconds()
    for site in _standbys(plan, seen):
        what = f"replication to {site}"
        lag = seen.lags if isinstance(seen.lags, DrError) else seen.lags.get(site)
        if isinstance(lag, DrError):
            yield _amiss(what, lag)
        elif lag is None:
            why = "its database does not answer, or has replayed no commit since it began"
            yield Finding(what, "unknown", why, f"`dr run check_drift`; see {site}")
        else:
            hint = f"look at the network between the sites, and at the standby leader of {site}"
            yield _limited(what, f"{lag:.1f} s behind", lag, allowed, hint)


def _archive(plan: Plan, seen: Sights) -> Iterator[Finding]:
    # What the last segment holds is archived within archive_timeout, and copied by the next pull.
    usual = (plan.recovery.archive_timeout + 2 * plan.recovery.pull_interval).total_seconds()
    allowed = max(plan.tier.rpo.total_seconds(), 2 * usual)
    for site in plan.sites:
        what = f"WAL archive of {site}"
        age = seen.ages if isinstance(seen.ages, DrError) else seen.ages.get(site)
        if isinstance(age, DrError):
            yield _amiss(what, age)
        elif age is None:
            yield Finding(what, "unknown", "its store does not answer", "`dr run check_wal_archiving`")
        else:
            yield _limited(what, f"{age:.0f} s behind", age, allowed, "`dr run check_wal_archiving`")


def _backups(_: Plan, seen: Sights) -> Iterator[Finding]:
    if isinstance(seen.catalogue, DrError):
        yield _amiss("backups", seen.catalogue)
    else:
        yield from (row.finding for row in seen.catalogue.rows)


def _coverage(_: Plan, seen: Sights) -> Iterator[Finding]:
    if isinstance(seen.catalogue, DrError):
        yield _amiss("coverage", seen.catalogue)
    else:
        yield from seen.catalogue.coverage


def _quorum(plan: Plan, seen: Sights) -> Iterator[Finding]:
    all_members = [each for site in plan.sites.values() for each in site.addresses("etcd")]
    if isinstance(seen.members, DrError):
        yield _amiss("etcd", seen.members)
        return
    absent = sorted(set(all_members) - set(seen.members))
    need = len(all_members) // 2 + 1
    told = f"{len(all_members) - len(absent)} of {len(all_members)} members see a leader"
    if not absent:
        yield Finding("etcd", "ok", told)
        return
    bad = len(all_members) - len(absent) < need
    hint = f"start etcd on {', '.join(absent)}: the loss of another site would end its quorum"
    yield Finding("etcd", "critical" if bad else "warning", f"{told}; silent: {', '.join(absent)}", hint)


def _credentials(plan: Plan, seen: Sights) -> Iterator[Finding]:
    for what, error in seen.keys.items():
        yield _amiss(what, error) if error else Finding(what, "ok", "accepted")
    valid_for: timedelta = plan.validation.security.certificates_valid_for
    for site, until in seen.certificates.items():
        what = f"certificate of the store of {site}"
        if isinstance(until, DrError):
            yield _amiss(what, until)
            continue
        told = f"trusted until {until:%Y-%m-%d %H:%M} UTC"
        near = until - seen.at < valid_for
        hint = "renew it, signed by the plan's authority" if near else ""
        yield Finding(what, "warning" if near else "ok", told, hint)


def _drift(_: Plan, seen: Sights) -> Iterator[Finding]:
    if isinstance(seen.drift, DrError):
        yield _amiss("configuration", seen.drift)
    else:
        yield from seen.drift


def _control(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """The survivors of the active site's loss must notice it, and carry the recovery out."""
    apart = {site: error for site, error in seen.control.items() if site != seen.active}
    for site, error in apart.items():
        what = f"control plane at {site}"
        yield _amiss(what, error) if error else Finding(what, "ok", "answers, with its database")
    if not apart:
        hint = "`dr run` recovers without it; give another site one to be shown and triggered as well"
        told = f"there is none outside {seen.active}"
        yield Finding("control plane", "warning", told, hint)
    yield from _watch(plan, seen)


def _watch(plan: Plan, seen: Sights) -> Iterator[Finding]:
    patience = rule_of(plan).patience
    if isinstance(seen.vantages, DrError):
        yield _amiss("watch", seen.vantages)
        return
    for site, told_at in seen.vantages.items():
        what = f"watch at {site}"
        age = None if told_at is None else (seen.at - told_at).total_seconds()
        if age is None or age > patience:
            told = "it has told nothing" if age is None else f"it told nothing for {age:.0f} s"
            yield Finding(what, "critical", told, f"start the watch at {site}: a loss may go unnoticed")
        else:
            yield Finding(what, "ok", f"told {max(0.0, age):.0f} s ago")


def _standbys(plan: Plan, seen: Sights) -> list[str]:
    return [name for name, site in plan.sites.items() if name != seen.active and site.running("postgres")]


def _limited(what: str, told: str, value: float, allowed: float, hint: str) -> Finding:
    """Wrong beyond the limit, and at risk beyond its half."""
    words = f"{told}, of {allowed:.0f} s that the tier allows"
    if value > allowed:
        return Finding(what, "critical", words, hint)
    return Finding(what, "warning", words, hint) if value > allowed / 2 else Finding(what, "ok", words)


QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {
        "incident": _calm,
        "replication": _lag,
        "archive": _archive,
        "backups": _backups,
        "capacity": room,
        "versions": versions,
        "etcd": _quorum,
        "credentials": _credentials,
        "configuration": _drift,
        "clocks": clocks,
        "notification": routes,
        "control": _control,
        DRILLS: drills,
        "dependencies": single_sites,
        "coverage": _coverage,
    }
)
"""Every check by its name, in the order in which they are told."""
