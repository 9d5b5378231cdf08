"""Restore secrets and certificates from the sealed points of any site."""

from datetime import datetime
from pathlib import Path

from prefect import flow

from tasks.current import current_plan
from tasks.secrets_backup import restore_secret


@flow(persist_result=False)
def restore_secrets(
    from_site: str,
    into: Path,
    asset: str = "secrets/plan",
    at: datetime | None = None,
    point: str | None = None,
) -> str:
    """Open a point with the escrowed key and write its files, each its owner's only, into a directory.

    Args:
        from_site: whose bucket.
        into: a directory that is empty or not there.
        asset: such as "secrets/plan".
        at: the newest point not later than this; the newest where empty.
        point: the one of this name.

    Returns:
        what was restored, in words.
    """
    return restore_secret(current_plan(), from_site, asset, point, at, into)
