"""Verify what a site's repositories hold, and write down what was found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from tasks.clients import pgbackrest, restic
from tasks.clients.objects import Bucket
from tasks.clients.repository import backups_of
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.backups import Damage, Verified
from tasks.plan.plan import Plan
from tasks.policy.verification import (
    check_of,
    compared,
    kind_of,
    recorded,
    verification_markdown,
    without_remains,
    wrong,
)
from tasks.retry import retried
from tasks.verified import read_verified, write_verified

_VERIFY_S = 4 * 3600.0
# What a check found: of one asset, or of several that share a repository.
Found = State[Verified] | State[tuple[Verified, ...]]


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
        part = plan.protection.verification.sample if share is None else Decimal(str(share))
    except InvalidOperation:
        part = Decimal(-1)
    if not (part.is_finite() and 0 <= part <= 1):
        raise Refused(f"{share} is not a part", hint="from 0 to 1")
    return part


@retried("see what was damaged before", times=2, delay=10)
def damaged_before(plan: Plan) -> frozenset[tuple[str, str]]:
    """The sites and kinds of which damage is on record, or may be: what a sample met, the next one may miss.

    Raises:
        Transient: no store answers.
    """
    return frozenset(
        (site, kind_of(asset))
        for (asset, site), known in read_verified(plan).items()
        if isinstance(known, DrError) or known.damages
    )


def sealed_assets(plan: Plan) -> tuple[str, ...]:
    """The assets whose points are sealed folders."""
    return tuple(asset for asset in plan.protection.assets() if kind_of(asset) == "points")


@retried("verify the database's copy", run_name="verify the database at {site}", times=2, delay=10)
def verify_database(plan: Plan, site: str) -> tuple[Verified, ...]:
    """Let pgBackRest read everything and compare it with what it wrote.

    Raises:
        Transient: no database host, or the store, does not answer.
        Permanent: pgBackRest failed.
    """
    backups = (pgbackrest.info_of(plan, site) or {}).get("backup")
    if not backups:
        return ()
    folder, bucket = backups_of(plan.postgresql_ha.cluster_name), Bucket.readable(plan, site)
    found = without_remains(
        pgbackrest.verify(plan, site, timeout=_VERIFY_S),
        {backup["label"] for backup in backups},
        lambda label: not any(bucket.list(f"{folder}/{label}")),
    )
    size = sum(backup["info"]["repository"]["delta"] for backup in backups)
    return (_verified("database", site, "pgbackrest verify", found, (len(backups), size)),)


@retried("verify the files' copy", run_name="verify the files at {site}", times=2, delay=10)
def verify_files(plan: Plan, site: str, share: Decimal) -> tuple[Verified, ...]:
    """Look for damage in a site's restic repository, which all file assets share.

    Raises:
        Transient, Permanent: see `restic.check`.
    """
    found = restic.check(plan, site, share=share, timeout=_VERIFY_S)
    method = f"restic's structure, {share:.0%} of the packs read"
    try:
        held = Counter(each.asset for each in restic.snapshots(plan, site))
    except Permanent:
        if not found:
            raise
        # What is damaged is what its snapshots would be read with.
        held = Counter(f"files/{name}" for name in plan.protection.files)
    return tuple(_verified(asset, site, method, found, (count, 0)) for asset, count in sorted(held.items()))


def publish_verification(
    plan: Plan, done: Mapping[tuple[str, str], Found], between: Mapping[str, State[tuple[Damage, ...]]]
) -> None:
    """Write down what was found, show it, and fail the run where something is not proven.

    Args:
        plan: the plan.
        done: every check of every site.
        between: for each repository, what the sites hold differently.

    Raises:
        Permanent: damage, an asset that a site does not hold, or a check that could not be made.
        Transient: no store takes the records.
    """
    results = {where: _verifications(state) for where, state in done.items()}
    for root, state in between.items():
        found = _result(state)
        known = found if isinstance(found, DrError) else compared(plan, root, found, datetime.now(UTC))
        results[check_of(root)] = known
    bad = wrong(plan, results)
    create_markdown_artifact(key="verify-backups", markdown=verification_markdown(results, bad))
    for each in recorded(results):
        write_verified(plan, each)
    if bad:
        raise Permanent("not every copy is proven", "; ".join(bad), "see the artifact verify-backups")


def _verifications(state: Found) -> tuple[Verified, ...] | DrError:
    found = _result(state)
    return (found,) if isinstance(found, Verified) else found


def _result(state: State[Any]) -> Any:
    """What a check returned, or the error that it ended in."""
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        return found if isinstance(found, DrError) else Permanent("it failed", repr(found)[:300])
    return found


def _verified(
    asset: str, site: str, method: str, found: Iterable[tuple[str, str]], amount: tuple[int, int]
) -> Verified:
    damages = tuple(Damage(asset, site, name, what) for name, what in found)
    return Verified(asset, site, datetime.now(UTC), method, *amount, damages)
