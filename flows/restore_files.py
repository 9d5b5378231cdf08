"""Bring files back: one, a directory, or everything, from any site's copy."""

from datetime import datetime
from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.files import chosen_assets, find_snapshot, restore_snapshot


@flow(persist_result=False)
def restore_files(  # noqa: PLR0913 -- what, from which copy, of when, where to
    into: Path,
    asset: str | None = None,
    from_site: str | None = None,
    at: datetime | None = None,
    snapshot: str | None = None,
    include: str | None = None,
    host: str | None = None,
) -> list[Path]:
    """Restore file assets into a directory that is empty or not there.

    Args:
        into: the directory: on this machine, or below the root of `host`.
        asset: only this one, "files/NAME" or NAME.
        from_site: only this site's copy; else the newest snapshot that any site's has.
        at: the newest snapshot that is not younger than this.
        snapshot: the one whose id begins so.
        include: only this file or directory, below the asset's own.
        host: the host to restore on.

    Returns:
        where each asset's directory is now.
    """
    plan = current_plan()
    points = [find_snapshot(plan, name, from_site, at, snapshot) for name in chosen_assets(plan, asset)]
    return [
        restore_snapshot(plan, point, into / point.asset.removeprefix("files/"), include, host)
        for point in points
    ]
