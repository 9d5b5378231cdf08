"""Configuration restored from any of its points, at any site, and proven to be what was stored."""

import hashlib
import io
import json
import tarfile
from datetime import datetime
from pathlib import Path, PurePosixPath

from tasks.clients import bundles, point_contents, points
from tasks.clients.manifest import StoredPoint
from tasks.clients.moment import require_zone
from tasks.clients.truth import active_site
from tasks.clients.workspace import workspace
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan
from tasks.retry import retried

_SERVERS, _BUNDLE, _CAPTURE = "servers", "repository.bundle", "servers.tar"


@retried("choose a point", delay=2)
def choose_point(
    plan: Plan, name: str, from_site: str | None, at: datetime | None, point: str | None
) -> tuple[str, StoredPoint]:
    """The site and the point to restore: the named one, else the newest, else the newest up to a moment.

    Raises:
        Refused: there is no such point, or the moment has no time zone.
        Transient: the store does not answer, or no site was given and the active one cannot be told.
    """
    require_zone(at)
    site = from_site or active_site(plan)
    if site not in plan.sites:
        raise Refused(f"there is no site {site}", f"the plan's sites: {', '.join(plan.sites)}")
    found = points.stored(plan, site, f"configuration/{name}")
    fitting = [each for each in found if (point in {None, each.stamp}) and (at is None or each.at <= at)]
    if not fitting:
        known = ", ".join(each.stamp for each in found[-5:]) or "none"
        raise Refused(f"configuration/{name} has no such point at {site}", f"the newest: {known}")
    return site, fitting[-1]


@retried("restore configuration", delay=2)
def restore_point(plan: Plan, name: str, chosen: tuple[str, StoredPoint], into: Path) -> str:
    """Restore a point into a folder that is empty or not there.

    Returns:
        what was restored and proven: the commit of a repository, the digest of a capture.

    Raises:
        Refused: the folder is not empty.
        Permanent: the point is damaged, or the recovery key does not open it.
    """
    site, point = chosen
    bundles.require_empty(into)
    if name == _SERVERS:
        return _restore_capture(plan, site, point, into)
    with workspace() as folder:
        bundle = folder / _BUNDLE
        point_contents.open_to(plan, site, point, _BUNDLE, bundle)
        facts = point.facts
        bundles.clone(bundle, into, head=facts["head"], branch=facts["branch"], origin=_origin(plan, name))
    return facts["head"]


def _restore_capture(plan: Plan, site: str, point: StoredPoint, into: Path) -> str:
    files = _untar(point_contents.open_point(plan, site, point, _CAPTURE))
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    if digest != point.facts["digest"]:
        raise Permanent("the captured configuration is not what was stored", f"SHA-256 {digest}")
    for path, text in files.items():
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return digest


def _untar(archive: bytes) -> dict[str, str]:
    files: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            parts = PurePosixPath(member.name).parts
            if content is None or member.name.startswith("/") or ".." in parts:
                raise Permanent("the captured configuration holds a path that leads elsewhere", member.name)
            files[member.name] = content.read().decode()
    return files


def _origin(plan: Plan, name: str) -> str:
    """Where the repository lived; empty for one that the plan no longer names."""
    known = plan.protection.configuration.repositories
    return bundles.source_of(plan, name) if name in known else ""
