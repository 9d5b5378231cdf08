"""Whether people would be told, what was rehearsed, and what only one site has. Pure."""

from collections.abc import Iterator

from tasks.errors import DrError
from tasks.facts.archive import Finding, Severity
from tasks.facts.drill import DrillReport
from tasks.facts.readiness import Sights
from tasks.plan.plan import Plan
from tasks.plan.procedures import Drill as Planned
from tasks.plan.sites import Program
from tasks.policy.drill import counts, digest_of, is_open
from tasks.policy.tables import span

# What a site cannot serve users without, and what a recovery can be done without.
_NEEDED: tuple[Program, ...] = ("postgres", "redis", "gateway", "storage", "service")
_HELPFUL: tuple[Program, ...] = ("control", "watch", "etcd")


def routes(_: Plan, seen: Sights) -> Iterator[Finding]:
    """Whether each channel can be reached; one that cannot is made up for by another."""
    reached = any(error is None for error in seen.routes.values())
    for channel, error in seen.routes.items():
        if error is None:
            yield Finding(channel, "ok", "reached")
        else:
            severity: Severity = "warning" if reached else "critical"
            yield Finding(channel, severity, error.seen, error.hint)
    if not seen.routes:
        yield Finding("notification", "critical", "the plan has no channel", "add one to `notifications`")
    yield from _public(seen)


def drills(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """Whether each drill of the plan was held in time, as a whole, passed, and held for this very plan."""
    if isinstance(seen.drills, DrError):
        yield Finding("drills", "unknown", seen.drills.seen)
        return
    for name, planned in plan.dr_testing.drills().items():
        held = [report for report in seen.drills if report.drill.kind == name and counts(plan, report)]
        yield _drill(plan, seen, name, planned, held[-1] if held else None)
        yield from _unmended(seen, held[-1] if held else None)


def single_sites(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """What nobody has once the active site is gone."""
    left = [site for name, site in plan.sites.items() if name != seen.active]
    for program in (*_NEEDED, *_HELPFUL):
        what = f"{program} without {seen.active}"
        where = [host for site in left for host in site.running(program)]
        if where:
            yield Finding(what, "ok", f"{len(where)} hosts")
        else:
            severity: Severity = "critical" if program in _NEEDED else "warning"
            yield Finding(what, severity, f"only {seen.active} runs it", "run it at another site as well")
    yield from _routes_through(plan, seen)


def _public(seen: Sights) -> Iterator[Finding]:
    """A recovery does without the public's channels: one that is away is no more than a warning."""
    for place, error in seen.public.items():
        if error is None:
            yield Finding(f"public: {place}", "ok", "reached")
        else:
            hint = error.hint or "mend it, or the public is told by what the audience has `otherwise`"
            yield Finding(f"public: {place}", "warning", error.seen, hint)


def _drill(plan: Plan, seen: Sights, name: str, planned: Planned, last: DrillReport | None) -> Finding:
    what = f"drill {name}"
    hint = f"`dr run drill_{name}`"
    if last is None:
        return Finding(what, "warning", f"never held; planned {planned.frequency.words}", hint)
    told = f"{last.drill.id} {last.verdict} on {last.ended:%Y-%m-%d}"
    interval = planned.frequency.interval
    late = seen.at - last.ended - interval - plan.readiness.drill_grace if interval else None
    if last.verdict == "failed":
        return Finding(what, "critical", told, f"mend what it found, then {hint}")
    if last.verdict != "passed":
        return Finding(what, "warning", told, hint)
    if late is not None and late.total_seconds() > 0:
        return Finding(what, "warning", f"{told}; overdue for {span(late)}", hint)
    if last.drill.plan_digest != digest_of(plan):
        return Finding(what, "warning", f"{told}, before the plan was edited: not verified since", hint)
    return Finding(what, "ok", told)


def _unmended(seen: Sights, last: DrillReport | None) -> Iterator[Finding]:
    """What is overdue or critical; of what the last drill itself found, its verdict tells."""
    for finding in filter(is_open, last.findings if last else ()):
        critical = finding.severity == "critical"
        overdue = finding.due < seen.at
        if overdue or (critical and last and finding.found_in != last.drill.id):
            severity: Severity = "critical" if critical else "warning"
            until = f"{finding.owner} {'had' if overdue else 'has'} until {finding.due:%Y-%m-%d}"
            told = f"{finding.trial}: {finding.what}; {until}"
            yield Finding(f"finding of {finding.found_in}", severity, told, "mend it, then rehearse it again")


def _routes_through(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """Nobody is told by a mail server that is lost with the site."""
    mail = plan.notifications.email
    addresses = {str(host.address) for host in plan.sites[seen.active].hosts.values()}
    if mail and mail.smarthost.rpartition(":")[0] in addresses:
        told = f"the smarthost {mail.smarthost} is at {seen.active}"
        yield Finding("mail without the active site", "warning", told, "name one elsewhere")
