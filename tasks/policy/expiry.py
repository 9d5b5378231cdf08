"""What expiry may remove: the plan's retention, and the reasons to leave an asset alone. Pure.

Source: seed, "Backup Schedule and Retention".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.facts.backups import Expiry, Point
from tasks.facts.catalogue import Holding
from tasks.facts.expiry import Decision
from tasks.plan.plan import Plan
from tasks.policy.long_term import folder_of, is_month
from tasks.policy.replication import Pull
from tasks.policy.retention import expire, wal_backups
from tasks.policy.tables import moment, span, table

UNFINISHED = "unfinished"
_UNFINISHED_KEPT = timedelta(days=1)
_SOURCE_KEEPS = "its source keeps it, and replication would bring it back"


@dataclass(frozen=True)
class Limits:
    """What one expiry goes by.

    Attributes:
        now: the moment of the decision.
        every: the longest time between two runs.
        force: remove more than half of an asset's good points all the same.
    """

    now: datetime
    every: timedelta
    force: bool = False


def retention_of(plan: Plan, asset: str) -> Mapping[str, timedelta]:
    """How long each variant of an asset's points is kept; what nobody knows is kept for ever."""
    backups, protection = plan.backup_strategy, plan.protection
    kept = {
        "database": {
            "full": backups.database.full_backup.retention,
            "incr": backups.database.incremental_backup.retention,
            "long-term": protection.archive.retention,
        },
        "files": {"snapshot": backups.filesystem.retention},
        "configuration": {"snapshot": backups.configuration.retention},
        "redis": {"snapshot": protection.redis.retention},
        "secrets": {"snapshot": protection.secrets.retention},
    }.get(asset.partition("/")[0], {})
    return {**kept, UNFINISHED: _UNFINISHED_KEPT}


def decide_all(
    plan: Plan, holdings: Iterable[Holding], pulls: Iterable[Pull], limits: Limits
) -> tuple[Decision, ...]:
    """Decide over everything, the active site first and every copy after its source.

    A copy is left alone where its source is: what the source keeps, replication would bring back. A month
    that is set apart is a point of the database; its own damage keeps that point, and nothing else.
    """
    source_of = {pull.target: pull.source for pull in pulls}
    every = sorted(holdings, key=lambda each: _distance(source_of, each.site))
    damaged = {each.asset: why for each in every if (why := _damage(each))}
    held = [each for each in every if not is_month(each.asset)]
    decided: dict[tuple[str, str], Decision] = {}
    for each in held:
        source = decided.get((each.asset, source_of.get(each.site, "")))
        decided[each.asset, each.site] = _decide(plan, each, source, damaged, limits)
    return tuple(decided.values())


def differences(decision: Decision, after: Iterable[Point]) -> tuple[str, ...]:
    """How what was listed after a removal differs from what was decided; what is new meanwhile does not."""
    names = {point.name for point in after}
    left = [f"{point.name} is still there" for point in decision.remove if point.name in names]
    return (*left, *(f"{name} is gone" for name in decision.stay if name not in names))


def decisions_table(decisions: Iterable[Decision], now: datetime) -> str:
    """What is to go, and why the rest stays, as Markdown."""
    rows = [row for each in decisions for row in _rows(each, now)]
    return table(("asset", "site", "point", "taken", "age", "decision"), rows)


def _decide(
    plan: Plan, held: Holding, source: Decision | None, damaged: Mapping[str, str], limits: Limits
) -> Decision:
    if why := _doubtful(held, source, damaged.get(held.asset, "")):
        return _alone(held, why)
    if not held.points:
        return Decision(held.asset, held.site)
    keep = retention_of(plan, held.asset)
    done = _without_doubtful(_without_kept(expire(held.points, keep, limits.now), source), damaged)
    if why := too_much(done.remove, held.points, keep, limits):
        return _alone(held, why)
    gone = {point.name for point in done.remove}
    stay = [point for point in held.points if point.name not in gone]
    wal = _wal(plan, stay, limits.now) if held.asset == "database" else None
    return Decision(held.asset, held.site, done.remove, tuple(p.name for p in stay), done.spared, "", wal)


def _damage(held: Holding) -> str:
    """Why an asset is left alone at every site: an old point may be the last whole one."""
    if held.doubt:
        return f"whether its copy at {held.site} is damaged is not known: {held.doubt}"
    if held.verified and held.verified.damages:
        return f"its copy at {held.site} is damaged: an old point may be the last whole one"
    return ""


def _doubtful(held: Holding, source: Decision | None, damage: str) -> str:
    if held.points is None:
        return f"what is there is not known: {held.why}"
    if source and source.left_alone:
        return f"its source {source.site} is left alone"
    if source and held.points and not source.stay:
        return f"its source {source.site} holds nothing: this may be all there is"
    return damage


def too_much(
    remove: Iterable[Point], points: Iterable[Point], keep: Mapping[str, timedelta], limits: Limits
) -> str:
    """Why a removal looks like an accident: most good points at once, and due for longer than they could be.

    What runs on time removes points soon after they came due, be they many: a burst of changes comes due in a
    burst. Most of them at once and long overdue means a wrong clock, or expiry that did not run for long:
    a person looks at the dry run and says force.
    """
    gone = [point for point in remove if point.good]
    good = sum(1 for point in points if point.good)
    if limits.force or len(gone) * 2 <= good:
        return ""
    overdue = max(limits.now - point.at - keep[point.variant] for point in gone)
    if overdue <= 2 * limits.every:
        return ""
    lost = f"{len(gone)} of {good} good points at once, overdue by {span(overdue)}"
    return f"it would lose {lost}; force=true if that is meant"


def _without_kept(done: Expiry, source: Decision | None) -> Expiry:
    return _sparing(done, dict.fromkeys(source.stay if source else (), _SOURCE_KEEPS))


def _without_doubtful(done: Expiry, damaged: Mapping[str, str]) -> Expiry:
    months = [point.name for point in done.remove if folder_of(point.name) in damaged]
    return _sparing(done, {month: damaged[folder_of(month)] for month in months})


def _sparing(done: Expiry, why: Mapping[str, str]) -> Expiry:
    spared = [(point.name, why[point.name]) for point in done.remove if point.name in why]
    remove = tuple(point for point in done.remove if point.name not in why)
    return Expiry(done.asset, done.site, remove, done.kept + len(spared), (*done.spared, *spared))


def _wal(plan: Plan, stay: Iterable[Point], now: datetime) -> int:
    backups = [point for point in stay if point.variant in {"full", "diff", "incr"}]
    return wal_backups(backups, plan.backup_strategy.database.wal_archiving.retention, now)


def _alone(held: Holding, why: str) -> Decision:
    names = tuple(point.name for point in held.points or ())
    return Decision(held.asset, held.site, stay=names, left_alone=why)


def _distance(source_of: Mapping[str, str], site: str) -> int:
    distance = 0
    while site in source_of and distance <= len(source_of):
        site, distance = source_of[site], distance + 1
    return distance


def _rows(decision: Decision, now: datetime) -> Iterable[tuple[str, ...]]:
    where = decision.asset, decision.site
    if decision.left_alone:
        yield (*where, "all", "", "", f"left alone: {decision.left_alone}")
    for point in decision.remove:
        taken, age = moment(point.at), span(now - point.at)
        yield (*where, point.name, taken, age, f"remove: past its {point.variant} retention")
    for name, why in decision.spared:
        yield (*where, name, "", "", f"stays: {why}")
    if not decision.left_alone:
        wal = f", WAL of the newest {decision.wal_backups} backups" if decision.wal_backups else ""
        yield (*where, f"{len(decision.stay)} others" if decision.remove else "all", "", "", f"stay{wal}")
