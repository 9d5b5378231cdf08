"""Files: snapshots by restic into the active site's repository, spot checks, restores from any site's copy.

Source: seed, "Backup Schedule and Retention".
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from tasks.clients import restic, restic_spot
from tasks.clients.moment import require_zone
from tasks.clients.records import survivors
from tasks.clients.restic import Snapshot
from tasks.clients.restic_command import On
from tasks.clients.truth import active_site
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.backups import Damage, Point, Verified
from tasks.plan.plan import Plan
from tasks.policy.files import choose_snapshot
from tasks.progress import shown
from tasks.retry import retried

VARIANT = "snapshot"
_log = logging.getLogger("dr.files")
_KIND = "files/"
_BACKUP_S = 4 * 3600.0
_RESTORE_S = 4 * 3600.0
_SPOTS = 20
_SPOTS_S = 900.0


def chosen_assets(plan: Plan, asset: str | None = None) -> tuple[str, ...]:
    """The plan's file assets, or the one of this name, with or without "files/" before it.

    Raises:
        Refused: the plan has no such asset.
    """
    assets = tuple(f"{_KIND}{name}" for name in plan.protection.files)
    if asset is None:
        return assets
    name = f"{_KIND}{asset.removeprefix(_KIND)}"
    if name not in assets:
        raise Refused(f"the plan has no asset {asset}", f"its files: {', '.join(assets)}")
    return (name,)


@retried("back up files", run_name="back up {asset}", times=4, delay=[5, 15, 30, 60], jitter=0.3)
def take_snapshot(plan: Plan, asset: str, timeout: float = _BACKUP_S) -> Snapshot:
    """Take a snapshot of one asset from the first host of the active site that has it.

    Raises:
        Refused: nothing can be backed up: see `restic.backup`.
        Transient: the host, the store or etcd does not answer, or the repository is locked.
        Permanent: a file cannot be read, or the store refuses.
    """
    source, path = _source(plan, asset)
    with shown(f"back up {asset}") as told:
        made = restic.backup(plan, *source, asset, path, tell=told, timeout=timeout)
    return next(each for each in restic.snapshots(plan, source.site) if each.id == made)


@retried("compare files with their snapshot", run_name="compare {asset} with its snapshot", delay=10)
def spot_check(plan: Plan, asset: str, snapshot: Snapshot, count: int = _SPOTS) -> Verified:
    """Compare random files of the source with what the new snapshot gives back for them.

    Raises:
        Permanent: a file differs though it did not change, or was left out.
        Transient: the host or the store does not answer.
    """
    source, path = _source(plan, asset)
    taken = (snapshot.id, snapshot.at)
    spots = restic_spot.compare(plan, *source, path, taken, count, _SPOTS_S)
    damages = tuple(Damage(asset, source.site, name, what) for name, what in spots.damages)
    if damages:
        told = "; ".join(f"{each.name}: {each.what}" for each in damages[:5])
        raise Permanent(f"{len(damages)} files of {asset} differ from their snapshot", told)
    method = f"{spots.files} random files of {source.host} against snapshot {snapshot.id[:8]}"
    return Verified(asset, source.site, datetime.now(UTC), method, spots.files, spots.bytes)


def publish_snapshots(done: Mapping[str, State[Snapshot] | State[Verified]]) -> list[Verified]:
    """Show what became of every asset, and fail the run where one failed.

    Raises:
        Permanent: an asset is not backed up, or its snapshot is not what its source is.
    """
    results = {asset: state.result(raise_on_failure=False) for asset, state in done.items()}
    rows = [f"|{asset}|{_row(result)}|" for asset, result in results.items()]
    create_markdown_artifact(
        key="backup-files", markdown="\n".join(["|asset|site|method|bytes|", "|-|-|-|-|", *rows])
    )
    bad = {asset: result for asset, result in results.items() if isinstance(result, BaseException)}
    if bad:
        passing = all(isinstance(result, Transient) for result in bad.values())
        told = "; ".join(f"{asset}: {result}" for asset, result in bad.items())
        raise (Transient if passing else Permanent)("not all files are backed up", told)
    return [result for result in results.values() if isinstance(result, Verified)]


def points_of(plan: Plan, site: str, timeout: float = 120) -> tuple[Point, ...]:
    """Every recoverable point of files in a site's copy.

    Raises:
        Permanent: the copy cannot be opened.
        Transient: the store does not answer.
    """
    return tuple(
        Point(each.asset, site, each.id, VARIANT, each.at, size=each.size, good=each.whole)
        for each in restic.snapshots(plan, site, timeout=timeout)
    )


@retried("find a snapshot")
def find_snapshot(
    plan: Plan, asset: str, from_site: str | None, at: datetime | None, snapshot: str | None
) -> Point:
    """The snapshot to restore: the newest that fits, of one site's copy or of all that answer.

    Raises:
        Refused: no copy has one that fits, several begin so, or the moment has no time zone.
        Transient: no copy can be asked.
        Permanent: no copy can be opened.
    """
    require_zone(at)
    if from_site is not None and from_site not in plan.sites:
        raise Refused(f"there is no site {from_site}", f"the plan's sites: {', '.join(plan.sites)}")
    points, failures = [], []
    sites = [from_site] if from_site else survivors(plan)
    for site in sites:
        try:
            points += [point for point in points_of(plan, site) if point.asset == asset]
        except DrError as error:
            failures.append(error)
    if len(failures) == len(sites):
        raise failures[0]
    found = choose_snapshot(points, at, snapshot)
    if found is None:
        told = "; ".join(map(str, failures)) or f"{len(points)} snapshots there, none fits"
        raise Refused(f"no copy has such a snapshot of {asset}", told, "look at `dr backups`")
    for failure in failures:
        _log.warning("%s: chosen among the other copies' snapshots: %s", asset, failure.seen)
    return found


@retried("restore files", run_name="restore {point.asset} from {point.site}", delay=10)
def restore_snapshot(
    plan: Plan, point: Point, into: Path, include: str | None = None, host: str | None = None
) -> Path:
    """Bring an asset, or one path of it, back into an empty directory, and prove each file's content.

    Args:
        plan: the plan.
        point: from which snapshot of which site's copy.
        into: the directory; on a host, below its root.
        include: one file or directory, below the asset's own; all of it where None.
        host: where to; here where None.

    Returns:
        where the asset's directory is now.

    Raises:
        Refused: `into` holds something, or there is no such host.
        Permanent: a file is damaged, or the snapshot does not have it.
        Transient: the store or the host does not answer.
    """
    path = plan.protection.files[point.asset.removeprefix(_KIND)].path.rstrip("/")
    wanted = f"{path}/{include.removeprefix(path).strip('/')}" if include else None
    with shown(f"restore {point.asset}"):
        restic.restore(
            plan, point.site, point.name, into, include=wanted, on=_host(plan, host), timeout=_RESTORE_S
        )
    return into / path.lstrip("/")


def _source(plan: Plan, asset: str) -> tuple[On, str]:
    """Where an asset is backed up from now, and its path there."""
    site = active_site(plan)
    wanted = plan.protection.files[asset.removeprefix(_KIND)]
    hosts = list(plan.sites[site].running(wanted.program))
    if not hosts:
        raise Refused(f"no host of {site} has {asset}", f"none runs {wanted.program}", "correct the plan")
    return On(site, hosts[0]), wanted.path


def _host(plan: Plan, host: str | None) -> On | None:
    if host is None:
        return None
    for name, site in plan.sites.items():
        if host in site.hosts:
            return On(name, host)
    raise Refused(f"there is no host {host}", "name one of the plan's")


def _row(result: Snapshot | Verified | BaseException) -> str:
    if not isinstance(result, Verified):
        return f"|{result.message if isinstance(result, DrError) else result!r}|"
    return f"{result.site}|{result.method}|{result.bytes}"
