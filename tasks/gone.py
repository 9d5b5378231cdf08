"""What else a recovered site has lost: found, and put where it belongs once it was restored beside.

Source: seed, "data_restoration".
"""

import shlex
import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import bundles, cache, points, redis_fill, redis_points, secret_sources
from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.facts.cold import ColdAssessment, GoneFiles, Returned
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.plan.references import path_of
from tasks.step import step

_TREE_S = 1800
_HAS = '[ -d {path} ] && [ -n "$(ls -A {path})" ] && echo there || true'
_PLACE = """
set -eu
mkdir -p {parent}
rmdir {path} 2>/dev/null || [ ! -e {path} ]
mv -nT {restored} {path}
find {beside} -depth -type d -empty -delete
"""


@task(name="find what files are gone", cache_policy=NO_CACHE)
def gone_files(plan: Plan, incident: Incident) -> list[GoneFiles]:
    """The protected directories that a host of the site should have and has not, or has empty.

    Raises:
        Transient: a host cannot be reached.
    """
    found = []
    for name, asset in plan.protection.files.items():
        beside = Path(asset.path).with_name(f".dr-cold-{incident.id}")
        for host in plan.sites[incident.to_site].running(asset.program):
            root = Layout.of(plan, incident.to_site, host).root
            if not _has(plan, incident.to_site, host, root / asset.path.lstrip("/")):
                restored = _has(plan, incident.to_site, host, root / str(beside).lstrip("/"))
                found.append(
                    GoneFiles(asset=f"files/{name}", host=host, beside=str(beside), restored=restored)
                )
    return found


@task(name="put restored files in place", cache_policy=NO_CACHE)
def place_files(plan: Plan, incident: Incident, gone: GoneFiles) -> str:
    """Rename what was restored beside to where it belongs; nothing that holds a file is replaced.

    Raises:
        Permanent: something is there now.
        Transient: the host cannot be reached.
    """
    path = plan.protection.files[gone.asset.removeprefix("files/")].path.rstrip("/")
    root, beside = Layout.of(plan, incident.to_site, gone.host).root, gone.beside.lstrip("/")
    words = {
        "path": root / path.lstrip("/"),
        "parent": (root / path.lstrip("/")).parent,
        "beside": root / beside,
        "restored": root / beside / path.lstrip("/"),
    }
    script = _PLACE.format(**{name: shlex.quote(str(value)) for name, value in words.items()})
    address = str(plan.sites[incident.to_site].hosts[gone.host].address)
    run_on(plan, address, ["sh", "-c", script], timeout=_TREE_S)
    return f"{gone.asset} on {gone.host}"


@task(name="find what repositories are gone", cache_policy=NO_CACHE)
def gone_repositories(plan: Plan) -> dict[str, Path]:
    """The plan's repositories that should lie beside the plan and are not there: their places by name."""
    places = {name: bundles.source_of(plan, name) for name in plan.protection.configuration.repositories}
    return {
        name: Path(place)
        for name, place in places.items()
        if place.startswith("/") and not Path(place).exists()
    }


@task(name="find what secrets are gone", cache_policy=NO_CACHE)
def gone_secrets(plan: Plan, incident: Incident) -> tuple[list[str], Path]:
    """The plan's secret files that are not there, and where to restore them beside."""
    files = (each for each in secret_sources.references(plan) if each.startswith("file:"))
    gone = [each for each in files if not path_of(plan.folder, each).exists()]
    beside = plan.folder / f".dr-cold-{incident.id}"
    if beside.exists():  # of a run that was killed
        shutil.rmtree(beside)
    return gone, beside


@task(name="put restored secrets in place", cache_policy=NO_CACHE)
def place_secrets(plan: Plan, gone: list[str], restored: Path) -> str:
    """Move the secrets that are gone from where they were restored; the others of the point go.

    Raises:
        OSError: a file cannot be moved.
    """
    for reference in gone:
        source = restored / reference.removeprefix("file:").lstrip("/")
        target = path_of(plan.folder, reference)
        if source.exists() and not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source.rename(target)
    for path in sorted(restored.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    restored.rmdir()
    return f"{len(gone)} secrets of the plan"


@step("restore Redis", deadline_s=_TREE_S)
def restore_redis(plan: Plan, incident: Incident, assessment: ColdAssessment) -> Returned:
    """Fill the site's Redis from the newest snapshot where it is empty; what it holds of its own stays.

    Raises:
        Permanent: the snapshot is not what was stored.
        Transient: a server or the store does not answer.
    """
    clustered = plan.redis_ha.mode == "cluster"
    master = "" if clustered else cache.master_of(plan, incident.to_site)
    held = redis_fill.held(plan, incident.to_site) if clustered else redis_fill.held_by_master(plan, master)
    if held:
        return Returned(restored=(), kept=(f"Redis: {held} keys",))
    stored = [
        point
        for point in points.stored(plan, assessment.source, redis_points.ASSET)
        if assessment.target is None or point.at <= assessment.target
    ]
    if not stored:
        return Returned(restored=(), kept=())
    if clustered:
        keys = redis_fill.fill(plan, incident.to_site, assessment.source, stored[-1]).keys
    else:
        keys = redis_fill.fill_master(plan, master, assessment.source, stored[-1])
    return Returned(restored=(f"Redis: {keys} keys of {stored[-1].folder}",), kept=())


@step("restore what else is gone", deadline_s=_TREE_S)
def tell_returned(_plan: Plan, _incident: Incident, restored: tuple[str, ...]) -> Returned:
    """Write down what was restored beside the database.

    Raises:
        Transient: no store takes the record.
    """
    return Returned(restored=restored, kept=())


def _has(plan: Plan, site: str, host: str, path: Path) -> bool:
    script = _HAS.format(path=shlex.quote(str(path)))
    address = str(plan.sites[site].hosts[host].address)
    return bool(run_on(plan, address, ["sh", "-c", script], timeout=60).strip())
