"""Verify the sealed points of a site: their manifests, a share of their bytes, and that the newest opens."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from tasks.clients import point_contents, points, redis_points, secret_sources
from tasks.clients.manifest import StoredPoint
from tasks.errors import Permanent
from tasks.facts.backups import Damage, Verified
from tasks.plan.plan import Plan
from tasks.policy.sampling import sample
from tasks.retry import retried


@retried("verify sealed points", run_name="verify the points of {site}")
def verify_points(plan: Plan, site: str, assets: Sequence[str], share: Decimal) -> tuple[Verified, ...]:
    """Verify the points of some assets at a site.

    All manifests are read and all objects' sizes listed. A share of the points is read and compared by
    SHA-256, another one each day, the newest always. That one is opened with the escrowed key besides:
    every snapshot of Redis is loaded in a scratch server and compared, a bundle of secrets unpacked and
    counted.

    Args:
        plan: the plan.
        site: whose bucket, read as its reader.
        assets: such as "redis", "secrets/plan".
        share: the part of the older points that is read, from 0 to 1.

    Returns:
        one verification an asset; an asset without any point has that as its damage.

    Raises:
        Transient: the store does not answer.
    """
    return tuple(_verify(plan, site, asset, share) for asset in assets)


def _verify(plan: Plan, site: str, asset: str, share: Decimal) -> Verified:
    found = points.survey(plan, site, asset)
    newest = found.points[-1] if found.points else None
    older = {point.stamp: point for point in found.points[:-1]}
    chosen = sample(older, share, f"{asset} {site} {datetime.now(UTC):%Y-%m-%d}")
    wrong = [*found.broken]
    for point in found.points:
        wrong += point_contents.damages(plan, site, point, read=point is newest or point.stamp in chosen)
    if newest is None:
        wrong.append((f"{points.ROOT}/{asset}", "there is no whole point"))
    elif not any(key.startswith(f"{newest.folder}/") for key, _ in wrong):
        wrong += _opens(plan, site, newest)
    read = [older[stamp] for stamp in chosen] + ([newest] if newest else [])
    counts = f"{len(found.points)} points, SHA-256 of {len(read)}"
    return Verified(
        asset=asset,
        site=site,
        at=datetime.now(UTC),
        method=f"manifests and sizes of {counts}, the newest opened",
        objects=sum(len(point.objects) for point in read),
        bytes=sum(point.size for point in read),
        damages=tuple(Damage(asset, site, key, what) for key, what in wrong),
    )


def _opens(plan: Plan, site: str, point: StoredPoint) -> list[tuple[str, str]]:
    """What is wrong with a point that only shows when it is opened."""
    try:
        if point.asset == redis_points.ASSET:
            for part in redis_points.parts(plan, site, point):
                with redis_points.opened(plan, site, point, part):
                    pass
            return []
        for name in point.objects:
            _open_content(plan, site, point, name)
    except Permanent as error:
        return [(point.folder, f"{error.message}: {error.detail}")]
    return []


def _open_content(plan: Plan, site: str, point: StoredPoint, name: str) -> None:
    if not point.asset.startswith("secrets/"):
        point_contents.open_into(plan, site, point, name, _Nowhere())
        return
    into = io.BytesIO()
    point_contents.open_into(plan, site, point, name, into)
    count = len(secret_sources.unpack(into.getvalue()))
    if str(count) != point.facts.get("files"):
        raise Permanent(f"{point.key(name)} has other contents than were stored", f"{count} files")


class _Nowhere:
    """Takes what is only to be opened."""

    def write(self, _data: bytes) -> None:
        """Drop the data."""
