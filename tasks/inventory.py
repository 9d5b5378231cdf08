"""List what every site holds of every asset. No Prefect here: `dr backups` is quick.

A store that does not answer makes its site's assets unknown, and holds up no other site.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from tasks.arrival import newest_segment
from tasks.clients import longterm, pgbackrest, points, restic
from tasks.clients.objects import Bucket, Entry
from tasks.clients.parallel import ask_all
from tasks.clients.truth import open_incident, read_truth
from tasks.errors import DrError, Permanent
from tasks.facts.backups import Point
from tasks.facts.catalogue import Catalogue, Holding
from tasks.plan.plan import Plan
from tasks.policy.backup_points import database_points
from tasks.policy.catalogue import BROKEN, LONG_TERM, expected, expected_months, judge_all
from tasks.policy.coverage import coverage
from tasks.policy.expiry import UNFINISHED
from tasks.policy.long_term import folder_of, is_month
from tasks.verified import Verifications, read_verified

# One repository's listing, and all of them together, in seconds.
_ONE_S, _ALL_S = 20, 25
_PROBE_S = 3
_EPOCH = datetime.fromtimestamp(0, UTC)
Listing = Callable[[Plan, str], Iterable[Point]]


def catalogue(plan: Plan, now: datetime | None = None) -> Catalogue:
    """Every recoverable point of every asset at every site, judged by the plan."""
    # Whatever is down, a catalogue is shown; of what nobody can tell the damage, nobody can tell the state.
    held, at = holdings(plan, verified=_verified(plan)), now or datetime.now(UTC)
    due = (*expected(plan, _active(plan)), *expected_months(plan, held))
    rows = judge_all(held, due, at)
    return Catalogue(at, rows, coverage(plan, at.date()), frozen(plan), held)


def frozen(plan: Plan) -> str:
    """Why nothing may be removed now; empty where something may."""
    try:
        incident = open_incident(plan)
    except DrError as error:
        return f"the active site cannot be told: {error.message}"
    return f"incident {incident} is open" if incident else ""


def holdings(
    plan: Plan, sites: Sequence[str] = (), verified: Verifications | DrError | None = None
) -> tuple[Holding, ...]:
    """What the sites hold, all of them where none is named; what is known of its damage is on record.

    Raises:
        Transient: no store tells what was verified, and it was not given.
    """
    asked = tuple(sites) or tuple(plan.sites)
    verified = read_verified(plan) if verified is None else verified
    jobs = {(site, kind): partial(_listed, plan, site, kind) for site in asked for kind in LISTINGS}
    found = ask_all(jobs, _ALL_S)
    return tuple(
        held
        for (site, kind), answer in found.items()
        for held in _holdings(plan, site, kind, answer, verified)
    )


def holding(plan: Plan, site: str, asset: str) -> tuple[Point, ...]:
    """What one site holds of one asset now.

    Raises:
        Transient, Permanent: it cannot be listed.
    """
    return tuple(point for point in _listed(plan, site, _kind_of(asset)) if point.asset == asset)


def remove_long_term(plan: Plan, site: str, month: str) -> None:
    """Remove a month that is set apart, its mark first; the store lets nobody while its lock holds.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket, folder = Bucket.owned(plan, site), f"{longterm.ROOT}/{month}"
    _, marks = bucket.children(folder)
    for entry in (*marks, *bucket.list(folder)):
        bucket.delete(entry.key)


def remove_unfinished(plan: Plan, site: str, asset: str, name: str) -> None:
    """Remove what no manifest speaks for in one point's folder; nothing where the manifest came meanwhile.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket = Bucket.owned(plan, site)
    for entry in _strays(points.survey(plan, site, asset)).get((asset, name), ()):
        bucket.delete(entry.key)


def _listed(plan: Plan, site: str, kind: str) -> tuple[Point, ...]:
    # A dead store is told in a moment; the tools behind the listings try for minutes.
    Bucket.readable(plan, site, _PROBE_S).children(kind)
    return tuple(LISTINGS[kind](plan, site))


def _database(plan: Plan, site: str) -> Iterable[Point]:
    if site == plan.site_of("archive"):
        yield from _long_term(plan, site)
    info = pgbackrest.info_of(plan, site, timeout=_ONE_S)
    if not info:
        return
    try:
        # The store took the segment just after its last commit.
        until = newest_segment(plan, site).taken
    except Permanent:
        until = None
    yield from database_points(info, site, until)


def _long_term(plan: Plan, site: str) -> Iterable[Point]:
    """The months that are set apart; their retention counts from when they were, as their locks do.

    Each is a point of the database, and besides an asset of its own, whose verification is on record.
    """
    for month, each in longterm.marked_months(plan).items():
        if each is None:
            yield Point(folder_of(month), site, month, BROKEN, _EPOCH, good=False)
            continue
        at = each.until - plan.protection.archive.retention
        for asset in ("database", folder_of(month)):
            yield Point(asset, site, month, LONG_TERM, at, size=each.size)


def _files(plan: Plan, site: str) -> Iterable[Point]:
    for each in restic.snapshots(plan, site, timeout=_ONE_S):
        yield Point(each.asset, site, each.id, "snapshot", each.at, size=each.size, good=each.whole)


def _sealed(plan: Plan, site: str) -> Iterable[Point]:
    seen = points.survey(plan, site)
    for each in seen.points:
        yield Point(each.asset, site, each.stamp, "snapshot", each.at, size=each.size)
    for key, _ in seen.broken:
        asset, stamp = _place(key)
        yield Point(asset, site, stamp, BROKEN, _EPOCH, good=False)
    for (asset, name), strays in _strays(seen).items():
        newest, size = max(each.modified for each in strays), sum(each.size for each in strays)
        yield Point(asset, site, name, UNFINISHED, newest, size=size, good=False)


def _strays(seen: points.Survey) -> Mapping[tuple[str, str], Sequence[Entry]]:
    """What no manifest speaks for, by asset and the name of an unfinished point."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in seen.unfinished:
        asset, stamp = _place(entry.key)
        found.setdefault((asset, f"{UNFINISHED} {stamp}"), []).append(entry)
    return found


def _place(key: str) -> tuple[str, str]:
    asset, _, stamp = key.rpartition("/")[0].removeprefix(f"{points.ROOT}/").rpartition("/")
    return asset, stamp


LISTINGS: Mapping[str, Listing] = {"pgbackrest": _database, "restic": _files, "points": _sealed}
_KINDS = {"database": "pgbackrest", "files": "restic", longterm.ROOT: "pgbackrest"}


def _kind_of(asset: str) -> str:
    return _KINDS.get(asset.partition("/")[0], "points")


def _holdings(
    plan: Plan, site: str, kind: str, answer: tuple[Point, ...] | DrError, verified: Verifications | DrError
) -> Iterable[Holding]:
    listed = () if isinstance(answer, DrError) else answer
    named = [asset for asset in plan.protection.assets() if _kind_of(asset) == kind]
    named += [*(point.asset for point in listed), *_damaged_months(site, kind, verified)]
    for asset in dict.fromkeys(named):
        known = verified if isinstance(verified, DrError) else verified.get((asset, site))
        there = None if isinstance(answer, DrError) else tuple(p for p in listed if p.asset == asset)
        why, doubt = _words(answer), _words(known)
        yield Holding(asset, site, there, why, None if isinstance(known, DrError) else known, doubt)


def _damaged_months(site: str, kind: str, verified: Verifications | DrError) -> Iterable[str]:
    """The months with damage on record, which may be that nothing is there to be listed."""
    if isinstance(verified, DrError) or kind != _KINDS[longterm.ROOT]:
        return ()
    return [
        asset
        for (asset, where), known in verified.items()
        if where == site and is_month(asset) and not isinstance(known, DrError) and known.damages
    ]


def _words(answer: object) -> str:
    return answer.message if isinstance(answer, DrError) else ""


def _verified(plan: Plan) -> Verifications | DrError:
    try:
        return read_verified(plan)
    except DrError as error:
        return error


def _active(plan: Plan) -> str:
    try:
        return read_truth(plan)[0].active
    except DrError:
        return plan.site_of("primary")
