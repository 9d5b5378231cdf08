"""Secrets: read, sealed in memory, stored, opened again with the escrowed key alone; and restored.

A secret never leaves the one task that reads it: no result, parameter or error of a task holds one.
Source: seed, "Backup Strategies".
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.schemas.objects import State

from tasks.clients import point_contents, points, secret_sources
from tasks.clients.manifest import StoredPoint
from tasks.clients.truth import active_site
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan
from tasks.retry import retried

BUNDLE = "secrets.tar"


def chosen_assets(plan: Plan, asset: str | None) -> tuple[str, ...]:
    """The assets of secrets: all, or the one that is asked for.

    Raises:
        Refused: it is none.
    """
    known = secret_sources.assets(plan)
    if asset is not None and asset not in known:
        raise Refused(f"{asset} is no asset of secrets", hint=f"one of {', '.join(known)}")
    return known if asset is None else (asset,)


def conclude(done: Mapping[str, State[StoredPoint]]) -> dict[str, str]:
    """Each asset's new point by name; fails where one is missing, now that all were tried.

    Raises:
        Permanent: a backup failed.
    """
    results = {asset: state.result(raise_on_failure=False) for asset, state in done.items()}
    failures = [f"{asset}: {each}" for asset, each in results.items() if not isinstance(each, StoredPoint)]
    if failures:
        raise Permanent("not all secrets are backed up", "; ".join(failures))
    return {asset: each.stamp for asset, each in results.items() if isinstance(each, StoredPoint)}


@retried("seal secrets", run_name="seal {asset}", delay=10)
def backup_secret(plan: Plan, asset: str) -> StoredPoint:
    """Store one point of an asset in the active site's bucket; open it from there and compare it, in memory.

    Raises:
        Permanent: a secret is missing, the store refuses, or the recovery key gives back something else.
        Transient: a host, the manager or the store does not answer.
    """
    site = active_site(plan)
    files = secret_sources.read(plan, asset, site)
    facts = {"files": str(len(files))}
    point = points.store(plan, site, asset, datetime.now(UTC), {BUNDLE: secret_sources.pack(files)}, facts)
    if secret_sources.unpack(point_contents.open_point(plan, site, point, BUNDLE)) != files:
        raise Permanent(f"{point.folder} at {site} gives back other secrets than were stored")
    return point


@retried("restore secrets", run_name="restore {asset} from {site}")
def restore_secret(  # noqa: PLR0913 -- which point, and where to
    plan: Plan, site: str, asset: str, stamp: str | None, at: datetime | None, into: Path
) -> str:
    """Write the secrets of one point below a directory, the one place where they may lie in the clear.

    Args:
        plan: the plan.
        site: whose bucket.
        asset: such as "secrets/plan".
        stamp: the point's name; else the newest, not later than `at` where given.
        at: a moment with a time zone.
        into: a directory that is empty or not there; it becomes its owner's only.

    Returns:
        what was restored, in words.

    Raises:
        Refused: the directory is not empty.
        Permanent: there is no such point, or it does not open.
        Transient: the store does not answer.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Refused(f"{into} is not an empty directory", hint="name one that is empty or not there")
    point = points.pick(plan, site, asset, at, stamp)
    files = secret_sources.unpack(point_contents.open_point(plan, site, point, BUNDLE))
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    into.chmod(0o700)
    for name, content in files.items():
        path = into / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
    return f"{point.folder} of {site}: {len(files)} files in {into}"
