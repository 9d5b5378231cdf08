"""Verify what a site holds, and write down what was found. One task a kind of repository and site."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from tasks.clients import pgbackrest, points, restic
from tasks.clients.points import StoredPoint, Survey
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.backups import Damage, Verified
from tasks.plan.plan import Plan
from tasks.policy.verification import verification_markdown, wrong
from tasks.retry import is_transient
from tasks.verified import write_verified

_VERIFY_S = 4 * 3600.0
# Which points are read is not to be foreseen, and no secret.
_chance = random.SystemRandom()


def chosen_sites(plan: Plan, site: str | None) -> tuple[str, ...]:
    """The site that was named, or all of them.

    Raises:
        Refused: the plan has no such site.
    """
    if site is not None and site not in plan.sites:
        raise Refused(f"there is no site {site}", hint=f"one of: {', '.join(plan.sites)}")
    return (site,) if site else tuple(plan.sites)


def chosen_share(plan: Plan, share: float | None) -> Decimal:
    """The part of the bytes to read: as given, or the plan's sample.

    Raises:
        Refused: it is no part.
    """
    try:
        part = plan.protection.verification.share if share is None else Decimal(str(share))
    except InvalidOperation:
        part = Decimal(-1)
    if not 0 <= part <= 1:
        raise Refused(f"{share} is not a part", hint="from 0 to 1")
    return part


@task(
    name="verify the database's copy",
    task_run_name="verify the database at {site}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def verify_database(plan: Plan, site: str) -> tuple[Verified, ...]:
    """Let pgBackRest read everything and compare it with what it wrote.

    Raises:
        Transient: no database host, or the store, does not answer.
        Permanent: pgBackRest failed.
    """
    if not (pgbackrest.info_of(plan, site) or {}).get("backup"):
        return ()
    found = pgbackrest.verify(plan, site, timeout=_VERIFY_S)
    return _kept(plan, [_verified("database", site, "pgbackrest verify", found)])


@task(
    name="verify the files' copy",
    task_run_name="verify the files at {site}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def verify_files(plan: Plan, site: str, share: Decimal) -> tuple[Verified, ...]:
    """Let restic check its repository, and read a part of its packs; it is one for all file assets.

    Raises:
        Transient, Permanent: see `restic.check`.
    """
    assets = sorted({snapshot.asset for snapshot in restic.snapshots(plan, site)})
    if not assets:
        return ()
    found = restic.check(plan, site, share=share, timeout=_VERIFY_S)
    method = f"restic check, {share:.0%} of the packs read"
    return _kept(plan, [_verified(asset, site, method, found) for asset in assets])


@task(
    name="verify sealed points",
    task_run_name="verify the sealed points at {site}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def verify_points(plan: Plan, site: str, share: Decimal) -> tuple[Verified, ...]:
    """Compare every point with its manifest, read a part of them, and open each asset's newest with the key.

    Raises:
        Transient: the store does not answer.
        Permanent: the store refuses, or the recovery key cannot be read.
    """
    seen = points.survey(plan, site)
    broken = (key.removeprefix(f"{points.ROOT}/").rsplit("/", 2)[0] for key, _ in seen.broken)
    assets = dict.fromkeys([*(point.asset for point in seen.points), *broken])
    return _kept(plan, [_sealed(plan, site, asset, seen, share) for asset in assets])


def publish_verification(plan: Plan, done: Mapping[tuple[str, str], State[tuple[Verified, ...]]]) -> None:
    """Show what was verified, and fail the run where something is damaged or could not be told.

    Raises:
        Permanent: damage, an asset that a site does not hold, or a site that could not be verified.
    """
    results = {where: _result(state) for where, state in done.items()}
    bad = wrong(plan, results)
    create_markdown_artifact(key="verify-backups", markdown=verification_markdown(results, bad))
    if bad:
        raise Permanent("not every copy is proven", "; ".join(bad), "see the artifact verify-backups")


def _result(state: State[tuple[Verified, ...]]) -> tuple[Verified, ...] | DrError:
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        return found if isinstance(found, DrError) else Permanent("it failed", repr(found)[:300])
    return found


def _sealed(plan: Plan, site: str, asset: str, seen: Survey, share: Decimal) -> Verified:
    mine = [point for point in seen.points if point.asset == asset]
    newest = mine[-1] if mine else None
    read = [point for point in mine if point is newest or _chance.random() < share]
    found = [each for each in seen.broken if each[0].startswith(f"{points.ROOT}/{asset}/")]
    for point in mine:
        found += points.damages(plan, site, point, read=point in read)
    if newest and not found:
        found += _opened(plan, site, newest)
    method = f"{len(read)} of {len(mine)} points read, the newest opened"
    amount = sum(len(point.objects) for point in mine), sum(point.size for point in read)
    return _verified(asset, site, method, found, amount)


def _opened(plan: Plan, site: str, point: StoredPoint) -> list[tuple[str, str]]:
    """What of a point does not open with the recovery key; its content goes nowhere."""
    found = []
    for name in point.objects:
        try:
            points.open_into(plan, site, point, name, _Nowhere())
        except Permanent as error:
            found.append((point.key(name), f"{error.message}: {error.detail}"))
    return found


class _Nowhere:
    """Takes everything, keeps nothing."""

    def write(self, _data: bytes) -> None:
        """Forget it."""


def _verified(
    asset: str, site: str, method: str, found: Iterable[tuple[str, str]], amount: tuple[int, int] = (0, 0)
) -> Verified:
    damages = tuple(Damage(asset, site, name, what) for name, what in found)
    return Verified(asset, site, datetime.now(UTC), method, *amount, damages)


def _kept(plan: Plan, found: Sequence[Verified]) -> tuple[Verified, ...]:
    for each in found:
        write_verified(plan, each)
    return tuple(found)
