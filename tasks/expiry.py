"""Remove what is past its retention, at every site: decided and shown first, seen to be gone afterwards.

Nothing is removed while an incident is open: an old point may be the one that a recovery needs.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks import inventory
from tasks.clients import pgbackrest, points, restic
from tasks.clients.objects import Bucket
from tasks.clients.truth import active_site
from tasks.copying import Rules, pull_repository
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.backups import Point
from tasks.facts.expiry import Decision, Outcome
from tasks.plan.plan import Plan
from tasks.policy.catalogue import LONG_TERM
from tasks.policy.expiry import Limits, decide_all, decisions_table, differences, retention_of
from tasks.policy.replication import Pull, replication_pairs, repositories
from tasks.retry import retried

# Set in the environment of a process by whoever starts it; no parameter that somebody can send moves a clock.
MOVED_CLOCK = "DR_TEST_MOVED_CLOCK"
_EXPIRE_S, _BULK_S = 3600.0, 1800.0


def moment_of(now: str | None, *, dry_run: bool) -> datetime:
    """The moment to decide for: the clock's, or another one for a dry run or in a test.

    Raises:
        Refused: it cannot be read, or it would remove what is not due yet.
    """
    clock = datetime.now(UTC)
    if now is None:
        return clock
    try:
        read = datetime.fromisoformat(now)
    except ValueError:
        raise Refused(f"{now} is not a moment", hint="such as 2026-06-30T12:00:00+00:00") from None
    moment = read if read.tzinfo else read.replace(tzinfo=UTC)
    if moment > clock and not dry_run and os.environ.get(MOVED_CLOCK) != "1":
        hint = f"only a dry run may look ahead; {MOVED_CLOCK}=1 in the environment is for tests"
        raise Refused("nothing is removed before its time", f"{moment.isoformat()} is ahead of now", hint)
    return moment


def require_thaw(plan: Plan) -> None:
    """Refuse while an incident is open, or while nobody can tell.

    Raises:
        Refused: expiry is frozen.
    """
    why = inventory.frozen(plan)
    if why:
        raise Refused("expiry is frozen: nothing is removed", why, "run it again once the incident is closed")


@retried("decide what is past its retention", times=2)
def decide_expiry(plan: Plan, now: datetime, *, force: bool) -> tuple[Decision, ...]:
    """List every site and decide; see `decide_all`.

    Raises:
        Transient: the active site cannot be told, or not what damage is on record: it freezes expiry.
    """
    limits = Limits(now, plan.protection.expiry.interval or timedelta(days=1), force)
    return decide_all(plan, inventory.holdings(plan), _pulls(plan), limits)


@task(name="show what is to be removed", cache_policy=NO_CACHE)
def show_decisions(decisions: Sequence[Decision], now: datetime, *, dry_run: bool) -> None:
    """Show every decision, before anything is removed."""
    shown = decisions_table(decisions, now)
    title = (
        f"Expiry for {now.isoformat()}, {'a dry run: nothing is removed' if dry_run else 'about to begin'}"
    )
    get_run_logger().info("%s\n%s", title, shown)
    create_markdown_artifact(key="expire-backups", markdown=f"# {title}\n\n{shown}")


def carry_out(plan: Plan, decisions: Sequence[Decision]) -> tuple[Outcome, ...]:
    """Remove what was decided, in the order given; a copy is left alone where its source's removal failed.

    Raises:
        Transient: the active site cannot be told.
    """
    source_of = {pull.target: pull.source for pull in _pulls(plan)}
    done: dict[tuple[str, str], Outcome] = {}
    for each in decisions:
        source = done.get((each.asset, source_of.get(each.site, "")))
        if source and source.error:
            outcome = Outcome(each, f"left alone, as {source.decision.site} kept what is due")
        else:
            outcome = _outcome(plan, each, source_of.get(each.site)) if each.due else Outcome(each)
        done[each.asset, each.site] = outcome
    return tuple(done.values())


@retried("remove expired points", run_name="expire {decision.asset} at {decision.site}", delay=10)
def remove_expired(plan: Plan, decision: Decision, source: str | None = None) -> None:
    """Remove what was decided of one asset at one site, and see that just that is gone.

    Args:
        plan: the plan.
        decision: what was decided.
        source: the site that this one is a copy of; None for the active site.

    Raises:
        Refused: an incident was opened meanwhile.
        Transient: the store does not answer, or something else holds the repository.
        Permanent: what remains is not what was decided.
    """
    require_thaw(plan)
    there = {point.name for point in inventory.holding(plan, decision.site, decision.asset)}
    _remove(plan, decision, [point for point in decision.remove if point.name in there])
    if source:
        _make_whole(plan, decision, source)
    wrong = differences(decision, inventory.holding(plan, decision.site, decision.asset))
    if wrong:
        what = f"{decision.asset} at {decision.site} is not what was decided"
        raise Permanent(what, "; ".join(wrong[:5]), "what else writes there? look at the evidence")


def _make_whole(plan: Plan, decision: Decision, source: str) -> None:
    """Bring a copy up to its source again, after pgBackRest or restic tidied it.

    They take what a pull has copied, and not named yet, for leftovers.
    """
    root = {"database": "pgbackrest", "files": "restic"}.get(decision.asset.partition("/")[0])
    if root is None:
        return
    keep = retention_of(plan, "database")
    rules = Rules(plan.secret("repository_cipher"), {variant: keep[variant] for variant in ("full", "incr")})
    of = repositories(plan.postgresql_ha.cluster_name)[root]
    from_there = Bucket.readable(plan, source, _BULK_S)
    pull_repository(from_there, Bucket.owned(plan, decision.site, _BULK_S), of, rules)


def _outcome(plan: Plan, decision: Decision, source: str | None) -> Outcome:
    state = remove_expired(plan, decision, source, return_state=True)
    error = state.result(raise_on_failure=False)
    if isinstance(error, BaseException):
        return Outcome(decision, str(error) if isinstance(error, DrError) else repr(error))
    return Outcome(decision)


def _pulls(plan: Plan) -> tuple[Pull, ...]:
    return replication_pairs({name: site.role for name, site in plan.sites.items()}, active_site(plan))


def _remove(plan: Plan, decision: Decision, points_there: Sequence[Point]) -> None:
    site, kind = decision.site, decision.asset.partition("/")[0]
    names = [point.name for point in points_there if point.variant != LONG_TERM]
    if kind == "database":
        for month in (point.name for point in points_there if point.variant == LONG_TERM):
            inventory.remove_long_term(plan, site, month)
        pgbackrest.expire(plan, site, sets=names, wal_backups=decision.wal_backups or 1, timeout=_EXPIRE_S)
    elif kind == "files":
        restic.forget(plan, site, names, timeout=_EXPIRE_S)
    else:
        _remove_sealed(plan, site, decision.asset, names)


def _remove_sealed(plan: Plan, site: str, asset: str, names: Sequence[str]) -> None:
    finished = {each.stamp: each for each in points.stored(plan, site, asset)}
    for name in names:
        if name in finished:
            points.remove(plan, site, finished[name])
        else:
            inventory.remove_unfinished(plan, site, asset, name)
