"""Is everything that exists backed up, or knowingly not? Pure.

Source: seed, "Backup Strategies".
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from tasks.facts.archive import Finding
from tasks.plan.plan import Plan
from tasks.plan.protection import CoverageException
from tasks.policy.tables import span

_NOTICE = timedelta(days=30)
# What a host holds by running a program; a service's files are those that the plan names.
_STATE_OF = {"postgres": "database", "redis": "redis", "etcd": "etcd", "control": "control"}


def coverage(plan: Plan, today: date) -> tuple[Finding, ...]:
    """A finding for each asset that exists, and for each exception of one that does not."""
    excepted = {exception.asset: exception for exception in plan.protection.exceptions}
    existing, covered = existing_assets(plan), set(plan.protection.assets())
    found = [
        _judge(asset, why, asset in covered, excepted.get(asset), today) for asset, why in existing.items()
    ]
    return (*found, *_idle(excepted, existing, today))


def existing_assets(plan: Plan) -> Mapping[str, str]:
    """Every asset that exists, and what says so: what the hosts run, and what the plan protects."""
    found = dict.fromkeys(plan.protection.assets(), "protected by the plan")
    for site, each in plan.sites.items():
        for host, program in ((host, program) for host, it in each.hosts.items() for program in it.runs):
            for asset in _held_by(plan, program):
                found.setdefault(asset, f"{host} at {site} runs {program}")
    return found


def _held_by(plan: Plan, program: str) -> tuple[str, ...]:
    if program == "service":
        files = plan.protection.files.items()
        return tuple(f"files/{name}" for name, it in files if it.program == "service") or ("files/service",)
    return (_STATE_OF[program],) if program in _STATE_OF else ()


def _judge(asset: str, why: str, covered: bool, exception: CoverageException | None, today: date) -> Finding:
    name = f"coverage of {asset}"
    if covered:
        return Finding(name, "ok", "backed up")
    if exception is None:
        hint = "add it to the plan's protection, or to its exceptions with an owner and a date"
        return Finding(name, "critical", f"not backed up, and no exception: {why}", hint)
    return _exception(name, exception, today)


def _exception(name: str, exception: CoverageException, today: date) -> Finding:
    left = exception.until - today
    words = f"not backed up until {exception.until} by {exception.owner}: {exception.reason}"
    hint = f"{exception.owner} decides anew: protect it, or move the date"
    if left < timedelta(0):
        return Finding(name, "critical", f"its exception is over for {span(left)}; {words}", hint)
    if left <= _NOTICE:
        return Finding(name, "warning", f"its exception ends in {span(left)}; {words}", hint)
    return Finding(name, "ok", words)


def _idle(
    excepted: Mapping[str, CoverageException], existing: Mapping[str, str], today: date
) -> Iterator[Finding]:
    """An exception for what the plan's hosts do not run is judged by its date all the same."""
    for asset, exception in excepted.items():
        if asset not in existing:
            yield _exception(f"coverage of {asset}", exception, today)
