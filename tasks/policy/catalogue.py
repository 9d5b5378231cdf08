"""Is every asset recoverable at every site, and recent enough? Pure judgements over what the sites hold.

Source: seed, "Backup Schedule and Retention", "Cross-Region Backup Replication".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tasks.facts.archive import Finding, Severity
from tasks.facts.backups import Point, Verified
from tasks.facts.catalogue import Expected, Holding, Row, State
from tasks.plan.plan import Plan
from tasks.policy.long_term import is_month
from tasks.policy.replication import replication_pairs
from tasks.policy.tables import span

ANY = ""
# A point whose own description is damaged; nothing expires it, as a copy may heal it.
BROKEN = "broken"
LONG_TERM = "long-term"
# Late after a quarter of the interval more, as a run takes its time; critical when a whole one was missed.
_LATE, _CRITICAL = 1.25, 2.0
# Clocks differ a little; a point from further ahead proves nothing about today.
_SKEW = timedelta(minutes=10)
# What only a change makes is made again after a day all the same, so that its age tells something.
_RENEWED = timedelta(days=1)
_Judgement = tuple[State, Severity, str, str]


def expected(plan: Plan, active: str) -> tuple[Expected, ...]:
    """What each site should hold of each asset, with its plan's intervals.

    Args:
        plan: the plan.
        active: the site that writes; the others hold copies.
    """
    hops = _hops(plan, active)
    step = plan.recovery.replication.interval or timedelta(0)
    verification = plan.protection.verification.schedule.interval
    return tuple(
        Expected(asset, site, _intervals(plan, asset, site), step * hops[site], verification)
        for asset in plan.protection.assets()
        for site in plan.sites
    )


def expected_months(plan: Plan, holdings: Iterable[Holding]) -> tuple[Expected, ...]:
    """What is expected of the months that are set apart: each run verifies the newest, the others in turn."""
    months = sorted({(held.asset, held.site) for held in holdings if is_month(held.asset)})
    every = plan.protection.verification.schedule.interval
    turns = [max(len(months) - 1, 1)] * (len(months) - 1) + [1]
    return tuple(
        Expected(asset, site, verification=every and every * turn)
        for (asset, site), turn in zip(months, turns, strict=False)
    )


def judge(held: Holding, due: Expected, now: datetime) -> Row:
    """Judge one asset at one site; what could not be listed is unknown."""
    if held.points is None:
        return _row(held, due, ("unknown", "unknown", held.why, "is the site's store up?"))
    good = [point for point in held.points if point.good and not is_ahead(point, now)]
    if not good and is_month(held.asset):
        return _row(held, due, _damaged(held, [point.name for point in held.points]))
    if not good:
        detail = f"no good point among {len(held.points)}" if held.points else "no point"
        hint = f"run backup_{_kind(held.asset)}, then replicate_backups"
        return _row(held, due, ("missing", "critical", detail, hint))
    age = now - max(point.at for point in good)
    return _row(held, due, _worst(held, good, due, now), good, age)


def is_ahead(point: Point, now: datetime) -> bool:
    """Whether a point claims to be from the future."""
    return point.at > now + _SKEW


def judge_all(holdings: Iterable[Holding], due: Iterable[Expected], now: datetime) -> tuple[Row, ...]:
    """A row for everything that is expected, and for everything else that is held."""
    found = {(held.asset, held.site): held for held in holdings}
    rows = []
    for each in due:
        held = found.pop((each.asset, each.site), None) or Holding(
            each.asset, each.site, None, "not looked at"
        )
        rows.append(judge(held, each, now))
    return (*rows, *(_unplanned(held, now) for held in found.values()))


def _unplanned(held: Holding, now: datetime) -> Row:
    row = judge(held, Expected(held.asset, held.site), now)
    if row.state != "ok":
        return row
    hint = "its retention goes on until the last good one; put it back into the plan, or remove that by hand"
    return replace(row, finding=Finding(row.finding.name, "warning", "not in the plan any more", hint))


def _worst(held: Holding, good: Sequence[Point], due: Expected, now: datetime) -> _Judgement:
    broken = [point.name for point in held.points or () if point.variant == BROKEN]
    if broken or (held.verified and held.verified.damages):
        return _damaged(held, broken)
    if held.doubt:
        return "unknown", "unknown", held.doubt, "run verify_backups; until then nothing of it expires"
    late = [_lateness(variant, good, due, now) for variant in due.intervals]
    for each in sorted((each for each in late if each), key=lambda each: each[1] != "critical"):
        return each
    return _verification(held.verified, min(point.at for point in good), due, now)


def _lateness(variant: str, good: Sequence[Point], due: Expected, now: datetime) -> _Judgement | None:
    interval = due.intervals[variant]
    limits = interval * _LATE + due.travel, interval * _CRITICAL + due.travel
    mine = [point.at for point in good if variant in {ANY, point.variant}]
    # What was never taken is late from when the first point of any variant was.
    age = now - (max(mine) if mine else min(point.at for point in good))
    if age <= limits[0]:
        return None
    severity: Severity = "critical" if age > limits[1] else "warning"
    words = f"no {variant or 'point'} for {span(age)}; planned every {span(interval)}"
    return "late", severity, words, "look at the last run of its backup flow, and of replicate_backups"


def _damaged(held: Holding, broken: Sequence[str]) -> _Judgement:
    damages = held.verified.damages if held.verified else ()
    told = [f"the manifest of {name}" for name in broken] + [f"{each.name}: {each.what}" for each in damages]
    detail = f"{len(told)} damaged, such as {told[0]}"
    hint = f"heal it from {_whole_at(held.asset)}, then verify_backups; until then nothing of it expires"
    return "damaged", "critical", detail, hint


def _whole_at(asset: str) -> str:
    return "its locked versions in the store" if is_month(asset) else "a site where it is whole"


def _verification(verified: Verified | None, oldest: datetime, due: Expected, now: datetime) -> _Judgement:
    """A point that nobody ever verified is a hope; it is healthy until its first verification is due."""
    if due.verification is None:
        return "ok", "ok", "", ""
    age = now - (verified.at if verified else oldest)
    if age > due.verification * _CRITICAL:
        words = f"not verified for {span(age)}" if verified else "never verified"
        return "ok", "warning", words, "run verify_backups"
    return "ok", "ok", "" if verified else "not verified yet", ""


def _row(
    held: Holding, due: Expected, judged: _Judgement, good: Sequence[Point] = (), age: timedelta | None = None
) -> Row:
    state, severity, detail, hint = judged
    shortest = min(due.intervals.values(), default=None)
    return Row(
        asset=held.asset,
        site=held.site,
        state=state,
        finding=Finding(f"{held.asset} at {held.site}", severity, detail, hint),
        points=len(good),
        newest=max((point.at for point in good), default=None),
        age=age,
        allowed=shortest * _LATE + due.travel if shortest else None,
        restorable_from=min((point.at for point in good), default=None),
        restorable_to=max((point.until or point.at for point in good), default=None),
        size=sum(point.size for point in held.points or ()),
        verified=held.verified.at if held.verified else None,
        damages=len(held.verified.damages) if held.verified else 0,
    )


def _intervals(plan: Plan, asset: str, site: str) -> Mapping[str, timedelta]:
    backups, protection = plan.backup_strategy, plan.protection
    database = backups.database
    planned: dict[str, dict[str, timedelta | None]] = {
        "redis": {ANY: protection.redis.schedule.interval},
        "files": {ANY: backups.filesystem.schedule.interval},
        "configuration": {ANY: backups.configuration.schedule.interval or _RENEWED},
        "secrets": {ANY: protection.secrets.schedule.interval},
        "database": {
            "full": database.full_backup.schedule.interval,
            ANY: database.incremental_backup.schedule.interval,
        },
    }
    found = planned[_kind(asset)]
    if asset == "database" and site == plan.site_of("archive"):
        found[LONG_TERM] = protection.archive.schedule.interval
    return {variant: interval for variant, interval in found.items() if interval}


def _hops(plan: Plan, active: str) -> Mapping[str, int]:
    """How many pulls each site is away from the one that writes."""
    hops = dict.fromkeys(plan.sites, 0)
    for pull in replication_pairs({name: site.role for name, site in plan.sites.items()}, active):
        hops[pull.target] = hops[pull.source] + 1
    return hops


def _kind(asset: str) -> str:
    return asset.partition("/")[0]
