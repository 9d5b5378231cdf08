"""Whether the other sites' hosts could carry the service. Pure."""

from collections.abc import Iterator

from tasks.clients.host_room import Room
from tasks.clients.serverfacts import ServerFacts
from tasks.errors import DrError
from tasks.facts.archive import Finding, Severity
from tasks.facts.readiness import Sights
from tasks.plan.plan import Plan
from tasks.policy.tables import size

# As much as a disk keeps free for what is written during a recovery.
_SPARE = 0.1
# A standby of somewhat less is the administrator's choice.
_AS_MUCH = 0.9


def room(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """Whether each other site's database hosts have what the active one's have, and disk to restore to."""
    measure = [
        each for (site, _), each in seen.rooms.items() if site == seen.active and isinstance(each, Room)
    ]
    held = max((each.bytes for each in seen.programs.values() if isinstance(each, ServerFacts)), default=0)
    for site, host in _others(plan, seen):
        what, found = f"capacity of {host}", seen.rooms[site, host]
        if isinstance(found, DrError):
            yield Finding(what, "unknown", found.seen, f"see {host}")
        else:
            yield _room(what, found, measure, held)


def versions(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """Whether they run what the active site runs."""
    running = {
        (each.running, each.pgbackrest)
        for (site, _), each in seen.programs.items()
        if site == seen.active and isinstance(each, ServerFacts)
    }
    for site, host in _others(plan, seen):
        what, found = f"versions on {host}", seen.programs[site, host]
        if isinstance(found, DrError):
            yield Finding(what, "unknown", found.seen, f"see {host}")
            continue
        told = f"PostgreSQL {found.programs}, pgBackRest {found.pgbackrest}"
        if not running:
            yield Finding(what, "unknown", f"{told}; those of {seen.active} are not known")
        elif (found.programs, found.pgbackrest) not in running:
            theirs = "; ".join(f"PostgreSQL {one}, pgBackRest {other}" for one, other in sorted(running))
            yield Finding(what, "critical", f"{told}; {seen.active} runs {theirs}", "install the same")
        else:
            yield Finding(what, "ok", told)


def clocks(plan: Plan, seen: Sights) -> Iterator[Finding]:
    """Whether times of different hosts can be compared."""
    tolerance = plan.readiness.clock_tolerance.total_seconds()
    for (_, host), found in seen.rooms.items():
        what = f"clock of {host}"
        if isinstance(found, DrError):
            yield Finding(what, "unknown", found.seen, f"see {host}")
            continue
        off = abs(found.ahead_s)
        told = f"{off:.2f} s {'ahead' if found.ahead_s > 0 else 'behind'}" if off else "as ours"
        severity: Severity = "critical" if off > 10 * tolerance else "warning" if off > tolerance else "ok"
        yield Finding(what, severity, told, "" if severity == "ok" else f"see that NTP runs on {host}")


def _room(what: str, found: Room, measure: list[Room], held: int) -> Finding:
    told = f"{found.cpus} CPUs, {size(found.memory)} of memory, {size(found.free)} of disk free"
    if found.free < found.disk * _SPARE:
        return Finding(
            what, "critical", f"{told} of {size(found.disk)}", "make room, or give it a larger disk"
        )
    short = []
    if found.free < held:
        short.append(f"the databases of {size(held)} cannot be restored beside what is there")
    if found.cpus < _AS_MUCH * max((each.cpus for each in measure), default=0):
        short.append(f"the active site's hosts have {max(each.cpus for each in measure)} CPUs")
    if found.memory < _AS_MUCH * max((each.memory for each in measure), default=0):
        short.append(f"the active site's hosts have {size(max(each.memory for each in measure))} of memory")
    if short:
        return Finding(what, "warning", f"{told}; {'; '.join(short)}", "give it what the active site has")
    return Finding(what, "ok", told)


def _others(plan: Plan, seen: Sights) -> list[tuple[str, str]]:
    return [
        (name, host)
        for name, site in plan.sites.items()
        if name != seen.active
        for host in site.running("postgres")
    ]
